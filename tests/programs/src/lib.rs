//! Guests
