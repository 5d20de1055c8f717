//! The program from outside: commands, daemons, sockets, signals.

mod api;
mod commands;
mod demo;
mod diagnose;
mod exchange;
mod faults;
mod homes;
mod packs;
mod network;
mod kills;
mod rooms;
mod socket;
