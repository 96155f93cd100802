//! One file, one kind of resource.
