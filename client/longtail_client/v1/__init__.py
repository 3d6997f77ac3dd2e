"""`longtail.v1`: `recommend.proto`, which says what the service speaks over gRPC, and the stubs made from it."""
