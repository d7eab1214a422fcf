//! Measures a remote read fault beside a plain TCP round trip of the same run.
//!
//! ```text
//! dsmexec machine_file fault_latency [SAMPLES [ADDRESS]]      (two ranks)
//! ```
//! Rank 0 alternates between a round trip *R* (16 bytes asked, one page answered, over a TCP connection of
//! its own to rank 1, blocking, no delay) and a load from a page that rank 1 owns. Both are interleaved,
//! so that whatever disturbs the machine disturbs both. ADDRESS is where rank 1 listens for *R*, as rank 0
//! reaches it; 127.0.0.1 if both run on one machine.

use dsm::Node;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let samples: usize = arguments.next().as_deref().unwrap_or("2000").parse()?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let node = Node::join()?;
    let pages = (samples + 1) * 2;
    if node.nodes() != 2 || pages * node.page_bytes() > node.size() {
        return Err("needs two ranks, and two pages a sample (see --size)".into());
    }
    let words = node.words::<AtomicU64>(0, pages * node.page_bytes() / 8)?;
    let page = |number: usize| &words[number * node.page_bytes() / 8];
    match node.rank() {
        0 => {
            let port = wait_for(page(0));
            let peer = TcpStream::connect((address.as_str(), u16::try_from(port)?))?;
            measure(&node, &peer, samples, page)?;
        }
        _ => {
            // Odd pages have their home here.
            (0..samples).for_each(|sample| page(2 * sample + 1).store(1, SeqCst));
            let listener = TcpListener::bind((address.as_str(), 0))?;
            page(0).store(listener.local_addr()?.port().into(), SeqCst);
            answer(listener.accept()?.0, node.page_bytes())?;
        }
    }
    node.finalize()?;
    Ok(())
}

fn measure<'a>(
    node: &Node,
    mut peer: &TcpStream,
    samples: usize,
    page: impl Fn(usize) -> &'a AtomicU64,
) -> Result<(), Box<dyn Error>> {
    peer.set_nodelay(true)?;
    let mut buffer = vec![0; node.page_bytes()];
    let (mut trips, mut faults) = (Vec::new(), Vec::new());
    let before = node.stats();
    for sample in 0..samples {
        let begun = Instant::now();
        peer.write_all(&[0; REQUEST_BYTES])?;
        peer.read_exact(&mut buffer)?;
        trips.push(begun.elapsed());
        let begun = Instant::now();
        assert_eq!(page(2 * sample + 1).load(SeqCst), 1, "a page is as its owner left it");
        faults.push(begun.elapsed());
    }
    let messages = node.stats().messages_sent - before.messages_sent;
    let mut out = io::stdout().lock();
    let r = quantile(&mut trips, 50);
    for (name, times) in [("round trip R", &mut trips), ("read fault", &mut faults)] {
        let (p50, p99) = (quantile(times, 50), quantile(times, 99));
        let (ratio50, ratio99) = (p50.div_duration_f64(r), p99.div_duration_f64(r));
        writeln!(
            out,
            "{name:<13} p50 {p50:>9.1?} ({ratio50:.2} R)  p99 {p99:>9.1?} ({ratio99:.2} R)"
        )?;
    }
    writeln!(out, "{samples} samples, {messages} messages sent by rank 0")?;
    Ok(())
}

fn answer(mut peer: TcpStream, page_bytes: usize) -> io::Result<()> {
    peer.set_nodelay(true)?;
    let page = vec![0; page_bytes];
    let mut request = [0; REQUEST_BYTES];
    // Until rank 0 has measured enough and closes the connection.
    while peer.read_exact(&mut request).is_ok() {
        peer.write_all(&page)?;
    }
    Ok(())
}

/// Waits for another rank to store something into a word: a plain spin, as on one machine.
fn wait_for(word: &AtomicU64) -> u64 {
    loop {
        match word.load(SeqCst) {
            0 => std::hint::spin_loop(),
            value => return value,
        }
    }
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

const REQUEST_BYTES: usize = 16;
