"""The same work beside other libraries, each in its own environment: run as `python -m benchmarks.peers`.

`catalogue` says what is held against what. Each peer has its module and its pins here; `ours` and
`ours_requests` are clawguard's side. To move a peer to another release: install it in an empty environment,
and put what `pip freeze` says there into its `.txt`.
"""
