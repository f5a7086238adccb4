-- Calls of tools of which nobody has taken what came. Their payloads are sealed under the tenant's key.
ALTER TABLE node ADD COLUMN tool_call INTEGER NOT NULL DEFAULT 0;
CREATE TABLE tool_calls (
    number   INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    question INTEGER,
    payload  BLOB NOT NULL,
    decided  BLOB,
    outcome  BLOB
) STRICT;
