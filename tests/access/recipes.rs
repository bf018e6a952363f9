//! The README's recipes for apps that take the user's name from a header.
