//! What is deployed: the manifest as resources and what each needs of the others.
