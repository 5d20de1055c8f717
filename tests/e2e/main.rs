//! The program from outside: commands, daemons, sockets, signals.

mod api;
mod commands;
mod demo;
mod diagnose;
mod disk;
mod ended;
mod exchange;
mod false_members;
mod false_owner;
mod faults;
mod files;
mod forged;
mod homes;
mod hostile;
mod image;
mod intruders;
mod kills;
mod memory;
mod network;
mod packs;
mod risk;
mod rooms;
mod socket;
mod tampered;
mod tickets;
mod triage;
