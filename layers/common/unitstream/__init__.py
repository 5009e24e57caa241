"""unitstream: what ingesting and reading metrics means, without HTTP and without Lambda.

Saving: `payload` says what a request may hold and `faults` what is wrong with one, `timestamps` and `values` read its
hours and numbers, `compression`, `json_keys` and `json_numbers` see what others pass over, `days` merges, `store` saves
to DynamoDB. Reading: `questions` checks parameters, `reading` reads from DynamoDB, `views` aggregates and compares,
`periods` knows the calendar. Both: `identity` derives record IDs, `streams` knows the tokens, `problems` describes
errors, `dynamodb` makes the calls and paces what has to be tried again.
"""
