//! One file plus the environment into validated settings; schema, reference, default file.
