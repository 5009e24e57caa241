"""The command `unitstream`, for operators, producers and readers.

`main` is the command itself; `streams`, `push`, `replay` and `views` are its parts. `settings` knows where the service
and the stack are, `api` talks to the one and `aws` to the other, `console` talks to a person, and `errors` says how a
command may end. `registry` keeps streams and tokens. A push goes through `rows` (files), `mapping` (columns to points),
`checking`, `spool` (sorting, batches) and `sending`; a view is shown by `tables`.
"""
