fn main(){ dsm_sim::check::speed() }
