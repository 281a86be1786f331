"""What every REST route shares: problem documents, declared scopes, keyset pages, identifiers.  Knows no app."""
