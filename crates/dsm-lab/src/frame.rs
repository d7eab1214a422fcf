//! Ethernet frames, as far as a switch that spoils them must know them.

use crate::rng::Rng;

/// The number of the host a frame is for, or `None` if it is for all. Hosts have the addresses [`mac`] gives them.
pub(crate) fn recipient(frame: &[u8]) -> Option<usize> {
    let to = frame.get(..6)?;
    (to[0] & 1 == 0).then(|| usize::from(to[5]))
}

/// The hardware address of a host.
pub(crate) fn mac(host: usize) -> String {
    format!("02:77:00:00:00:{host:02x}")
}

/// Turns one bit that an IPv4, TCP, UDP or ICMP checksum covers.
pub(crate) fn spoil(frame: &mut [u8], rng: &mut Rng) -> bool {
    let is_ipv4 = frame.get(12..14) == Some(&[0x08, 0x00]);
    if !is_ipv4 || frame.len() <= ETHERNET_BYTES {
        return false;
    }
    let place = ETHERNET_BYTES + rng.place(frame.len() - ETHERNET_BYTES);
    frame[place] ^= 1 << rng.below(8);
    true
}

/// Turns one bit of what a TCP segment carries, and makes its checksum right again. False if the frame is no such segment.
pub(crate) fn spoil_unnoticed(frame: &mut [u8], rng: &mut Rng) -> bool {
    let Some((tcp, carried, end)) = tcp_segment(frame) else { return false };
    let place = carried + rng.place(end - carried);
    // The checksum is over 16-bit words counted from the beginning of the TCP header.
    let word = place - (place - tcp) % 2;
    // The last byte of an odd segment counts as if a zero followed.
    let read = |frame: &[u8]| {
        u16::from_be_bytes([frame[word], if word + 1 < end { frame[word + 1] } else { 0 }])
    };
    let before = read(frame);
    frame[place] ^= 1 << rng.below(8);
    let after = read(frame);
    let at = tcp + TCP_CHECKSUM;
    let sum = u16::from_be_bytes([frame[at], frame[at + 1]]);
    frame[at..at + 2].copy_from_slice(&updated(sum, before, after).to_be_bytes());
    true
}

/// Makes a TCP segment a reset of its connection, if `wanted` says so of its two ports. False if it is as it was.
pub(crate) fn make_reset(frame: &mut Vec<u8>, wanted: impl Fn([u16; 2]) -> bool) -> bool {
    let Some((ip, tcp)) = tcp_header(frame) else { return false };
    let Some(header) = frame.get(tcp..tcp + TCP_BYTES) else { return false };
    let is_reset = header[TCP_FLAGS] & RST != 0;
    let ports = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    if is_reset || !wanted(ports) {
        return false;
    }
    frame.truncate(tcp + TCP_BYTES);
    let ip_bytes = u16::try_from(frame.len() - ip).expect("an IPv4 packet has less than 64 KiB");
    frame[ip + 2..ip + 4].copy_from_slice(&ip_bytes.to_be_bytes());
    frame[tcp + TCP_BYTES_AT] = 5 << 4;
    frame[tcp + TCP_FLAGS] = RST | ACK;
    for at in [ip + IP_CHECKSUM, tcp + TCP_CHECKSUM] {
        frame[at..at + 2].fill(0);
    }
    let ip_sum = !folded(&frame[ip..tcp]);
    frame[ip + IP_CHECKSUM..ip + IP_CHECKSUM + 2].copy_from_slice(&ip_sum.to_be_bytes());
    let tcp_sum = !tcp_sum(frame, ip, tcp);
    frame[tcp + TCP_CHECKSUM..tcp + TCP_CHECKSUM + 2].copy_from_slice(&tcp_sum.to_be_bytes());
    true
}

/// Where the TCP header, what the segment carries, and the segment's end are, if it is one that carries something.
fn tcp_segment(frame: &[u8]) -> Option<(usize, usize, usize)> {
    let (ip, tcp) = tcp_header(frame)?;
    let end = ip + usize::from(u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]));
    let header_bytes = usize::from(frame.get(tcp + TCP_BYTES_AT)? >> 4) * 4;
    let carried = tcp + header_bytes;
    let is_whole = header_bytes >= TCP_BYTES && carried < end && end <= frame.len();
    is_whole.then_some((tcp, carried, end))
}

/// Where the IPv4 header and the TCP header begin, if the frame has both.
fn tcp_header(frame: &[u8]) -> Option<(usize, usize)> {
    let ip = frame.get(ETHERNET_BYTES..)?;
    let is_tcp = frame[12..ETHERNET_BYTES] == [0x08, 0x00] && *ip.get(9)? == TCP;
    let header_bytes = usize::from(ip.first()? & 0x0f) * 4;
    (is_tcp && header_bytes >= IP_BYTES).then_some((ETHERNET_BYTES, ETHERNET_BYTES + header_bytes))
}

/// The sum of a segment and its pseudo header; 0xffff if the checksum in it is right.
fn tcp_sum(frame: &[u8], ip: usize, tcp: usize) -> u16 {
    let mut covered = frame[ip + 12..ip + 20].to_vec();
    covered.extend([0, TCP]);
    covered.extend(u16::try_from(frame.len() - tcp).expect("as the packet").to_be_bytes());
    covered.extend(&frame[tcp..]);
    folded(&covered)
}

/// The one's complement sum of 16-bit words (RFC 1071).
fn folded(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    fold(bytes.chunks(2).map(word).sum())
}

/// The checksum after one word has changed (RFC 1624, equation 3).
fn updated(sum: u16, before: u16, after: u16) -> u16 {
    !fold(u32::from(!sum) + u32::from(!before) + u32::from(after))
}

fn fold(mut total: u32) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).expect("it was folded to 16 bits")
}

const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const IP_CHECKSUM: usize = 10;
const TCP: u8 = 6;
const TCP_BYTES: usize = 20;
const TCP_BYTES_AT: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoilt_segment_has_a_right_checksum_and_one_bit_turned() {
        for carried in [1, 2, 7, 100, 1_400] {
            for seed in 0..200 {
                let before = segment(carried);
                let mut after = before.clone();
                assert!(spoil_unnoticed(&mut after, &mut Rng::new(seed)));
                assert_eq!(tcp_sum(&after, 14, 34), 0xffff, "{carried} bytes, seed {seed}");
                let turned = |range: std::ops::Range<usize>| -> u32 {
                    range.map(|at| (before[at] ^ after[at]).count_ones()).sum()
                };
                assert_eq!(turned(54..before.len()), 1);
                assert_eq!(turned(0..50), 0, "headers are as before, but for the checksum");
            }
        }
    }

    #[test]
    fn a_bit_turned_for_all_to_see_makes_a_checksum_wrong() {
        for seed in 0..500 {
            let mut frame = segment(40);
            assert!(spoil(&mut frame, &mut Rng::new(seed)));
            let ip_is_right = folded(&frame[14..34]) == 0xffff;
            assert!(!ip_is_right || tcp_sum(&frame, 14, 34) != 0xffff, "seed {seed}");
        }
    }

    #[test]
    fn a_segment_becomes_a_reset_with_right_checksums() {
        let mut frame = segment(100);
        assert!(!make_reset(&mut frame, |ports| ports == [0x0102, 0x0305]));
        assert_eq!(frame, segment(100));
        assert!(make_reset(&mut frame, |ports| ports == [0x0102, 0x0304]));
        assert_eq!((frame.len(), frame[47]), (54, RST | ACK));
        assert_eq!((folded(&frame[14..34]), tcp_sum(&frame, 14, 34)), (0xffff, 0xffff));
        assert!(!make_reset(&mut frame, |_| true), "a reset stays one");
        assert!(!make_reset(&mut vec![0; 30], |_| true));
    }

    #[test]
    fn what_is_no_segment_with_content_is_left_alone() {
        let mut ack = segment(0);
        assert!(!spoil_unnoticed(&mut ack, &mut Rng::new(1)));
        let mut arp = vec![0xff; 42];
        assert!(!spoil_unnoticed(&mut arp, &mut Rng::new(1)) && !spoil(&mut arp, &mut Rng::new(1)));
        let whole = segment(9);
        for len in 0..whole.len() {
            let mut part = whole[..len].to_vec();
            assert!(!spoil_unnoticed(&mut part, &mut Rng::new(1)), "{len} bytes");
        }
    }

    #[test]
    fn frames_are_for_one_host_or_for_all() {
        assert_eq!(recipient(&segment(0)), Some(3));
        assert_eq!(recipient(&[0xff; 60]), None);
        assert_eq!(recipient(&[]), None);
        assert_eq!(mac(3), "02:77:00:00:00:03");
    }

    /// A frame to host 3 with a right IPv4 and a right TCP checksum.
    fn segment(carried: usize) -> Vec<u8> {
        let mut frame = vec![2, 0x77, 0, 0, 0, 3, 2, 0x77, 0, 0, 0, 1, 8, 0];
        let bytes = u16::try_from(40 + carried).unwrap().to_be_bytes();
        frame.extend([
            0x45, 0, bytes[0], bytes[1], 0, 0, 0, 0, 64, TCP, 0, 0, 10, 77, 0, 1, 10, 77, 0, 3,
        ]);
        frame.extend([1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
        frame.extend((0..carried).map(|n| u8::try_from(n % 251).unwrap()));
        let ip = !folded(&frame[14..34]);
        frame[24..26].copy_from_slice(&ip.to_be_bytes());
        let tcp = !tcp_sum(&frame, 14, 34);
        frame[50..52].copy_from_slice(&tcp.to_be_bytes());
        frame
    }
}
