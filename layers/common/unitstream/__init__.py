"""unitstream: what ingesting and reading metrics means, without HTTP and without Lambda.

- What a request may hold: `payload`, with `faults` for what is wrong with it, `timestamps`, `values`, and what others
  pass over: `compression`, `json_keys`, `json_numbers`.
- What a question may ask: `parameters`, `questions`, `pages` of long answers, and `unknown` for what it names in vain.
- Rules without I/O: `identity` (record IDs), `days` (the merge), `periods` (the calendar), `decimals`, `aggregates`,
  `views`, `spreadsheets` (cells that are no formulas).
- The table: `table` (keys, items, calls), `catalogue` (metrics and series), `store` (saving), `shards`, `points` and
  `reading` (reading back); `streams` (tokens); `dynamodb` (the client, and what is tried again).
- Errors that a client can do something about: `problems`.
"""
