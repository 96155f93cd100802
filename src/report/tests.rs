//! What is printed, word for word.
