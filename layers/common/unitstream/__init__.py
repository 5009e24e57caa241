"""unitstream: what ingesting and reading metrics means, without HTTP and without Lambda.

- Saving and deleting: `store` and `deleting`, in `rounds` of read, merge, write; before them `catalogue` says which
  metrics and series there are, with `widening`, `entries`, `new_keys` and `series_limit`. `saved` unit metrics, and
  `publishing`.
- Reading: `reading` answers questions; `aggregating` and `points` read `shards` side by side; `extents` says where
  points are, and `unknown` what a question names in vain.
- The table: `items` are its keys and attributes, `table` its calls, `dynamodb` the client and what is tried again;
  `streams` is the other table, of tokens and their `rights`.
- What a request may hold: `payload`, with `faults` for what is wrong with it, `timestamps`, `values`, `compression`,
  and what parsers pass over: `json_keys`, `json_numbers`. `definitions` of saved unit metrics.
- What a question may ask: `questions` and `view_questions`, of `parameters`, `metric_parameters`, `filters`, `pages`.
- Rules without I/O: `identity` (record IDs), `days` (the merge), `periods` (the calendar), `zones`, `comparisons`,
  `decimals`, `instants`, `aggregates`, `views`, `spreadsheets` (cells that are no formulas).
- Errors that a client can do something about: `problems`.
"""
