//! What the tests of the whole house share.
//!
//! Each kind of test is a binary of its own beside this library. [`harness`] runs the real
//! `metaclinic` program as other processes do: by its command line, with homes of its own.

pub mod harness;
