"""The command `unitstream`, for operators, producers and readers.

`main` is the command itself; `push`, `reads` and `admin` are its parts. `settings` knows where the service and the
stack are, `api` talks to the one and `admin.aws` to the other, `console` talks to a person, and `errors` says how a
command may end. `admin.registry` keeps streams and tokens. A push goes through `rows` (files), `mapping` (columns to
points), `checking`, `spool` (sorting, batches) and `sending`; a read through `asking`, `rows` (several in one) and
`drawing`.
"""
