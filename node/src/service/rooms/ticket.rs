//! `mcroom1…`: which room, and whose device to ask for its member list. It holds no secret, and its prefix keeps it
//! from being taken for a pairing ticket.

use std::fmt;
use std::str::FromStr;

use crdt::RoomId;
use keys::DeviceId;

const PREFIX: &str = "mcroom1";
const CHECKSUM_BYTES: usize = 4;
const BODY_BYTES: usize = 64;

/// An invitation to ask for a room.
pub(super) struct RoomTicket {
    pub(super) room: RoomId,
    pub(super) device: DeviceId,
}

/// A text is not a room ticket.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TicketError {
    #[error("a room ticket begins with mcroom1; this is a ticket for pairing")]
    Pairing,
    #[error("a room ticket begins with mcroom1")]
    Prefix,
    #[error("part of the ticket is missing or mistyped")]
    Damaged,
}

impl fmt::Display for RoomTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(BODY_BYTES + CHECKSUM_BYTES);
        bytes.extend_from_slice(self.room.as_bytes());
        bytes.extend_from_slice(self.device.as_bytes());
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
        write!(f, "{PREFIX}{}", keys::base32(&bytes))
    }
}

impl FromStr for RoomTicket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.starts_with(keys::TICKET_PREFIX) {
            return Err(TicketError::Pairing);
        }
        let body = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        let bytes = keys::from_base32(body).ok_or(TicketError::Damaged)?;
        let (body, checksum) = bytes.split_at_checked(BODY_BYTES).ok_or(TicketError::Damaged)?;
        if checksum != &blake3::hash(body).as_bytes()[..CHECKSUM_BYTES] {
            return Err(TicketError::Damaged);
        }
        let (room, device) = body.split_first_chunk::<32>().ok_or(TicketError::Damaged)?;
        let device: [u8; 32] = device.try_into().map_err(|_| TicketError::Damaged)?;
        Ok(Self { room: RoomId::from_bytes(*room), device: DeviceId::from_bytes(device) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_reads_back_and_a_mistyped_one_does_not() {
        let ticket = RoomTicket { room: RoomId::from_bytes([1; 32]), device: DeviceId::from_bytes([2; 32]) };
        let text = ticket.to_string();
        let again: RoomTicket = text.parse().expect("reads back");
        assert_eq!((again.room, again.device), (ticket.room, ticket.device));
        for at in PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(changed.parse::<RoomTicket>().is_err() || changed == text, "at {at}");
        }
        assert_eq!("mcpair1abc".parse::<RoomTicket>().err(), Some(TicketError::Pairing));
        assert_eq!("".parse::<RoomTicket>().err(), Some(TicketError::Prefix));
        assert_eq!(text[..text.len() - 9].parse::<RoomTicket>().err(), Some(TicketError::Damaged));
    }
}
