-- What operators keep running. `digest` is of the name, which is sealed with the rest under the tenant's key.
CREATE TABLE deployments (
    tenant  INTEGER NOT NULL,
    digest  INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;
