"""The database's history: one file a change, in `versions`, run in order by `database.migrate`."""
