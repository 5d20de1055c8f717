//! The steps of a session: what to ask for, what to push, what to tell, and when both copies are equal.

use std::time::Duration;

use super::message::{MAX_ALONG, MAX_LISTED, MAX_SAMPLED, MAX_SYNC_MESSAGE_BYTES, MAX_WANTED, SYNC_VERSION};
use super::{
    EPOCHS_FIRST, EpochRequest, FIRST_LISTED, How, LONGEST_PAUSE, PROOFS_AT_ONCE, PROOFS_IN_MESSAGE,
    PUSH_BYTES, Position, Proof, Request, SILENCE, SyncEffect, SyncMessage, SyncSession, Why, digest_of,
};
use crate::{ChangeHash, Room, SignedChange, pack};

impl SyncSession {
    /// Asks for what the peer is known to have beyond this copy. True while an answer is under way.
    pub(super) fn review(&mut self, room: &Room, own: &Position, out: &mut Vec<SyncEffect>) -> bool {
        self.need_epochs(room, own, out);
        // Heads of the peer's that came from elsewhere meanwhile.
        if let Some(remote) = &self.remote {
            self.belief.confirm(remote.heads.iter().filter(|head| room.contains(head)).copied());
        }
        // What a frozen room might still learn of epochs is no reason to let changes wait.
        let epochs_coming = !room.epochs().is_frozen()
            && self
                .epochs
                .as_ref()
                .is_some_and(|epochs| self.clock.elapsed.saturating_sub(epochs.first) < EPOCHS_FIRST);
        self.prove(room, out);
        epochs_coming || self.need_changes(room, own, out)
    }

    /// Where the peer's copy rests on changes of a device that cheated, and this one knows it: shows the proof.
    fn prove(&mut self, room: &Room, out: &mut Vec<SyncEffect>) {
        let Some(remote) = &self.remote else { return };
        let proofs = room.proofs_for(&remote.heads);
        if proofs.is_empty() {
            return;
        }
        let (at, about) = (self.clock.elapsed, digest_of(&remote.heads));
        let before = self.proof.as_ref().filter(|proof| proof.about == about);
        if before.is_some_and(|proof| at < proof.again) {
            return;
        }
        let tries = before.map_or(0, |proof| proof.tries.saturating_add(1));
        // A long proof is shown piece after piece, and then ever more rarely from the beginning.
        let pieces: Vec<_> = proofs.chunks(PROOFS_AT_ONCE).collect();
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let piece = pieces[(tries % count) as usize];
        self.proof = Some(Proof { about, again: at + pause(tries / count), tries });
        for some in piece.chunks(PROOFS_IN_MESSAGE) {
            out.push(SyncEffect::Send(pack_proofs(room, some).encode()));
        }
    }

    /// Has the node ask for epochs while the peer knows newer ones, or others of the same number.
    pub(super) fn need_epochs(&mut self, room: &Room, own: &Position, out: &mut Vec<SyncEffect>) {
        let Some(remote) = &self.remote else { return };
        let newer = remote.epoch > own.epoch;
        let held = room.epochs().entries_from(remote.epoch).first();
        let forked = held.is_some_and(|held| held.digest() != remote.epoch_digest);
        // A room frozen by another pair may know of an earlier fork.
        let frozen = room.epochs().is_frozen();
        let differs = if frozen { remote.epoch_digest != own.epoch_digest } else { newer || forked };
        if !differs {
            self.epochs = None;
            return;
        }
        let at = self.clock.elapsed;
        let before = self.epochs.as_ref().filter(|request| request.held == own.epoch);
        if before.is_some_and(|request| at < request.again) {
            return;
        }
        let tries = before.map_or(0, |request| request.tries.saturating_add(1));
        let first = before.map_or(at, |request| request.first);
        // When the next epoch does not fit on the one held here, the line forked further back.
        let from = match tries {
            0 if newer && !frozen => own.epoch.saturating_add(1),
            0 => own.epoch.min(remote.epoch),
            1 => own.epoch.min(remote.epoch).saturating_sub(EPOCHS_BACK),
            _ => 0,
        };
        self.epochs = Some(EpochRequest { first, at, again: at + pause(tries), held: own.epoch, tries });
        out.push(SyncEffect::NeedEpochs { from });
    }

    fn need_changes(&mut self, room: &Room, own: &Position, out: &mut Vec<SyncEffect>) -> bool {
        let Some(remote) = &self.remote else { return false };
        // A peer whose heads all count here has nothing more: what else waits here, waits for others.
        let lacking: Vec<ChangeHash> =
            remote.heads.iter().filter(|head| !room.contains(head)).copied().collect();
        let mut wanted = if lacking.is_empty() { Vec::new() } else { room.missing(&lacking) };
        if !lacking.is_empty() {
            wanted.extend(room.wanted());
            wanted.truncate(MAX_WANTED);
        }
        if wanted.is_empty() && !self.more {
            self.request = None;
            return false;
        }
        let at = self.clock.elapsed;
        let held = (room.len(), own.epoch);
        let tries = match &self.request {
            Some(request) if !request.answered || (request.lacking == lacking && request.held == held) => {
                let since = at.saturating_sub(request.at);
                if since < pause(request.tries) {
                    return !request.answered && since < 2 * SILENCE;
                }
                request.tries.saturating_add(1)
            }
            _ => 0,
        };
        let mut have: Vec<ChangeHash> = own.heads.iter().take(MAX_LISTED).copied().collect();
        have.extend(room.sample_ancestors(MAX_SAMPLED).into_iter().take(MAX_SAMPLED));
        self.more = false;
        // Of a pack that brought nothing, something may have been wrong with the packing.
        let packed = !self.plain && tries == 0;
        self.send(&SyncMessage::Want { wanted, have, packed }, out);
        self.request = Some(Request { at, lacking, held, answered: false, tries });
        true
    }

    /// The peer heard nothing for a while: what was asked before may be lost.
    pub(super) fn expect_losses(&mut self) {
        let elapsed = self.clock.elapsed;
        self.request =
            self.request.take().filter(|request| request.answered || elapsed < request.at + SILENCE);
        if let Some(epochs) = &mut self.epochs {
            epochs.again = epochs.again.min(epochs.at + SILENCE);
        }
    }

    /// Tells the peer what is new here: own changes themselves, all else by the heads.
    pub(super) fn update(&mut self, room: &Room, own: &Position, waiting: bool, out: &mut Vec<SyncEffect>) {
        let Some(announced) = &self.announced else { return };
        if announced.epoch_digest != own.epoch_digest {
            // The peer fetches the epoch first, then asks.
            return self.tell(own, MAX_LISTED, Why::News, out);
        }
        let stale = announced.heads != own.heads;
        if waiting || !(stale || self.owes_receipt) || (stale && self.push(room, own, out)) {
            return;
        }
        self.tell(own, MAX_LISTED, Why::News, out);
    }

    /// Sends the changes that the peer lacks if they are few and some are own. False when nothing was sent.
    fn push(&mut self, room: &Room, own: &Position, out: &mut Vec<SyncEffect>) -> bool {
        let Some(remote) = &self.remote else { return false };
        if self.belief.covers(&own.heads) || !remote.heads.iter().all(|head| room.contains(head)) {
            return false;
        }
        let (changes, more) = room.changes_not_ancestors_of(&self.belief.base(room), PUSH_BYTES);
        let own_among = changes.iter().any(|change| change.device() == self.device);
        !more && own_among && self.send_changes(room, own, changes, How::Push, out)
    }

    /// Sends `changes`, and with them the heads. False, and nothing is sent, when they do not fit.
    pub(super) fn send_changes(
        &mut self,
        room: &Room,
        own: &Position,
        changes: Vec<SignedChange>,
        how: How,
        out: &mut Vec<SyncEffect>,
    ) -> bool {
        let hashes: Vec<ChangeHash> = changes.iter().map(SignedChange::hash).collect();
        let certificates = self.belief.new_certificates(room.certificates_for(&changes));
        let told = own.heads.len() <= MAX_ALONG;
        let heads = if told { own.heads.clone() } else { Vec::new() };
        // A pack of one change would be no smaller than the change.
        let pack = match how {
            How::Answer { packed: true, .. } if changes.len() > 1 => pack(&changes),
            _ => None,
        };
        let more = matches!(how, How::Answer { more: true, .. });
        let message = match pack {
            Some(pack) => SyncMessage::Packed { pack, certificates, heads, more },
            None => {
                let answer = how != How::Push;
                SyncMessage::Changes { changes, certificates, heads, more, answer }
            }
        };
        let bytes = message.encode();
        if bytes.len() > MAX_SYNC_MESSAGE_BYTES {
            return false;
        }
        self.belief.presume(hashes);
        if let Some(announced) = self.announced.as_mut().filter(|_| told) {
            announced.heads.clone_from(&own.heads);
            self.owes_receipt = false;
        }
        out.push(SyncEffect::Send(bytes));
        true
    }

    /// Tells the own position. More than `listed` heads are told by their digest.
    pub(super) fn tell(&mut self, own: &Position, listed: usize, why: Why, out: &mut Vec<SyncEffect>) {
        let all = own.heads.len() <= listed;
        let heads = match listed {
            FIRST_LISTED if !all => Vec::new(),
            _ => own.heads.iter().take(listed).copied().collect(),
        };
        let message = SyncMessage::Heads {
            version: SYNC_VERSION,
            room: own.room,
            epoch: own.epoch,
            epoch_digest: own.epoch_digest,
            heads,
            digest: (!all).then(|| digest_of(&own.heads)),
            ask: why == Why::Probe,
            answer: why == Why::Answer,
        };
        self.announced = Some(own.clone());
        self.owes_receipt = false;
        self.told = self.clock.elapsed;
        self.send(&message, out);
    }

    fn send(&self, message: &SyncMessage, out: &mut Vec<SyncEffect>) {
        out.push(SyncEffect::Send(message.encode()));
    }

    /// Notices when both copies have become equal, and when they no longer are.
    pub(super) fn compare(&mut self, room: &Room, own: &Position, out: &mut Vec<SyncEffect>) {
        let Some(remote) = &self.remote else { return };
        let same_epoch = remote.epoch == own.epoch && remote.epoch_digest == own.epoch_digest;
        let same_heads = match remote.digest {
            Some(digest) => digest == digest_of(&own.heads),
            None => remote.heads.iter().all(|head| room.contains(head)) && self.belief.confirms(&own.heads),
        };
        let told = self.announced.as_ref() == Some(own) && !self.owes_receipt;
        let equal = same_epoch && same_heads && told && !self.more;
        if equal && !self.in_sync {
            self.belief.settle(&own.heads);
            self.quiet = 0;
            out.push(SyncEffect::InSync);
        }
        self.in_sync = equal;
    }

    /// Asks for the peer's position after a silence in which both were not equal.
    pub(super) fn probe(&mut self, own: &Position, out: &mut Vec<SyncEffect>) {
        let elapsed = self.clock.elapsed;
        let silent = elapsed.saturating_sub(self.heard) >= SILENCE;
        if self.in_sync || !silent || elapsed.saturating_sub(self.told) < pause(self.quiet) {
            return;
        }
        self.belief.doubt();
        self.probing = true;
        let listed = if self.remote.is_some() { MAX_LISTED } else { FIRST_LISTED };
        self.tell(own, listed, Why::Probe, out);
    }
}

/// How far back the line of epochs is looked at when the next one does not fit, before all of it is.
const EPOCHS_BACK: u64 = 16;

/// Two seconds, doubled with each try, up to a minute.
fn pause(tries: u32) -> Duration {
    SILENCE.saturating_mul(1 << tries.min(6)).min(LONGEST_PAUSE)
}

fn pack_proofs(room: &Room, proofs: &[SignedChange]) -> SyncMessage {
    let (changes, certificates) = (proofs.to_vec(), room.certificates_for(proofs));
    SyncMessage::Changes { changes, certificates, heads: Vec::new(), more: false, answer: false }
}
