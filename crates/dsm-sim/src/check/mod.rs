mod closure;
mod graph;
mod index;
mod witness;
use crate::history::*;
use crate::rng::Rng;
/// x
#[derive(Debug)]
pub enum HistoryError { /// a
 TooLarge{ /// a
 operations: usize, /// a
 threads: usize}, /// a
 EndsBeforeItBegins{ /// a
 operation: Operation}, /// a
 NotUnique{ /// a
 operation: Operation}}
/// speed
pub fn speed() {
  use std::time::Instant;
  for (n,t,w) in [(100_000u64,4u64,8u64),(1_000_000,4,8),(1_000_000,4,64),(1_000_000,16,64),(1_000_000,16,2000)] {
    let mut r = Rng::new(7); let mut mem=vec![0u64; w as usize]; let mut h=History{threads: vec![vec![]; t as usize]}; let mut v=0;
    for i in 0..n { let th=r.below(t) as usize; let a=r.below(w) as usize; v+=1; let m=&mut mem[a];
      let action = match r.below(10) {0..=5=>Action::Read(Value(*m)),6..=8=>{*m=v;Action::Write(Value(v))} _=>{let o=*m;*m=v;Action::Exchange{read:Value(o),wrote:Value(v)}}};
      h.threads[th].push(Operation{word:WordId(a as u32),action,span:Span{began_ns:10*i, ended_ns:10*i+r.below(40)}}); }
    for rt in [false,true] { let t0=Instant::now(); let ix=index::Index::new(&h).unwrap(); let t1=t0.elapsed(); let mut g=graph::Graph::new(&ix); if rt {g.order_by_time();} let t2=t0.elapsed(); let mut c=closure::Closure::new(g); let rounds=c.close().ok(); let t3=t0.elapsed(); let wi=witness::find(&c);
      println!("{n} ops {t} threads {w} words rt {rt}: index {t1:.2?} graph {t2:.2?} close {t3:.2?} rounds {rounds:?} edges {} witness {:?} total {:.2?}", c.graph.edges(), wi.as_ref().map(|x|x.len()), t0.elapsed()); }
  }
}
