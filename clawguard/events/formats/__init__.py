"""What others read: CloudEvents, OCSF and CEF. Imported when an event is first written in one of them."""
