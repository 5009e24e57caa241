"""unitstream: what ingesting and reading metrics means, without HTTP and without Lambda.

`payload` checks a request, `timestamps` reads its hours, `identity` derives record IDs, `days` merges, `store` saves to
DynamoDB, `streams` knows the tokens, `problems` describes errors, `dynamodb` makes the calls and paces what has to be
tried again.
"""
