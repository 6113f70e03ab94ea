"""The guard: signs and verifies tokens, holds the keys, seals them at rest. It knows no database.

keys.py     SigningKey, VerifyingKey, KeyRing: one algorithm a key, states, the JWK set
jwk.py      public keys on the way in: what is refused
sealing.py  sealed texts; the key-encryption key and where it comes from; keyfile.py: its file
tokens.py   the strict codec: encode, decode; claims.py, wire.py: what a token may say; encoding.py: strict
            base64url and JSON; faults.py: why a token is refused
refresh_tokens.py   opaque refresh tokens: form, digest, the seal of a successor
proofs.py   what shows that the caller holds a bound token's key (DPoP) or certificate; proof_key.py: an
            agent's own key; uri.py: URIs as they are compared; jws.py: the compact form, taken apart
notes.py    signed notes, by which the log is proven
policy.py   ceilings, rules and grants; policy_file.py, policy_wire.py: where it comes from, what it may say
guard.py    Guard: what the manager talks to
"""

from clawguard.guard.claims import Claims, act_claim
from clawguard.guard.faults import ProofFault, TokenFault
from clawguard.guard.guard import Guard
from clawguard.guard.keys import ALGORITHMS, Algorithm, KeyRing, KeyState, RingKey, SigningKey, VerifyingKey
from clawguard.guard.notes import NoteKey, NoteSigner
from clawguard.guard.policy import Member, Policy, authority_of, check_question, decide
from clawguard.guard.policy_file import PolicySource, load_policy
from clawguard.guard.proof_key import ProofKey
from clawguard.guard.proofs import CertificateProof, DPoPProof, Proof, ProofId, ProvenKey, check_cnf
from clawguard.guard.refresh_tokens import RefreshToken, is_refresh_token
from clawguard.guard.sealing import KekSource, KeyEncryptionKey, SealingKey, load_kek
from clawguard.guard.uri import normal_uri

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "CertificateProof",
    "Claims",
    "DPoPProof",
    "Guard",
    "KekSource",
    "KeyEncryptionKey",
    "KeyRing",
    "KeyState",
    "Member",
    "NoteKey",
    "NoteSigner",
    "Policy",
    "PolicySource",
    "Proof",
    "ProofFault",
    "ProofId",
    "ProofKey",
    "ProvenKey",
    "RefreshToken",
    "RingKey",
    "SealingKey",
    "SigningKey",
    "TokenFault",
    "VerifyingKey",
    "act_claim",
    "authority_of",
    "check_cnf",
    "check_question",
    "decide",
    "is_refresh_token",
    "load_kek",
    "load_policy",
    "normal_uri",
]
