//! What a rank can tell of who is in the way of a page that others wait for.

use dsm_core::{
    Access, Config, Engine, Epoch, Hold, Input, Message, PageId, Rank, Right, Space, Standing,
    Withheld,
};

const PAGE: PageId = PageId(0);

fn engine(rank: u16) -> Engine {
    Engine::new(Config { rank: Rank(rank), space: Space::of_pages(3, 3), hold: Hold::Timed })
}

fn tell(engine: &mut Engine, from: u16, message: Message) {
    drop(
        engine.handle(Input::Message { from: Rank(from), message }).into_iter().collect::<Vec<_>>(),
    );
}

#[test]
fn a_home_tells_the_owner_and_whose_copies_must_go() {
    let mut home = engine(0);
    assert_eq!(home.standing(PAGE).owner, Some(Rank(0)));
    assert_eq!(home.standing(PageId(1)), Standing::default(), "not its home, and no copy");
    let request = |access| Message::Request { page: PAGE, access };
    tell(&mut home, 1, request(Access::Write));
    assert_eq!(home.standing(PAGE).owner, Some(Rank(1)));
    tell(&mut home, 2, request(Access::Read));
    tell(&mut home, 1, request(Access::Write));
    let awaited = vec![Rank(2)];
    let expected = Standing { owner: Some(Rank(1)), awaited, withheld: None };
    assert_eq!(home.standing(PAGE), expected, "rank 2 has not acknowledged");
}

#[test]
fn an_owner_tells_why_it_keeps_its_copy() {
    let mut owner = engine(1);
    let asked = owner.handle(Input::Fault { page: PAGE, access: Access::Write });
    assert_eq!(asked.into_iter().count(), 1);
    let (epoch, have) = (Epoch(2), Epoch(1));
    let forward = Message::Forward { page: PAGE, right: Right::Modified, to: Rank(2), epoch, have };
    tell(&mut owner, 0, forward);
    assert_eq!(owner.standing(PAGE).withheld, Some(Withheld::UntilItComes));
    let payload = dsm_core::Payload::Zero;
    let grant = Message::Grant { page: PAGE, right: Right::Modified, epoch: have, payload };
    tell(&mut owner, 0, grant);
    assert_eq!(owner.standing(PAGE).withheld, Some(Withheld::InUse), "its hold time runs");
    let over = owner.handle(Input::HoldOver { page: PAGE });
    assert!(over.into_iter().count() > 0);
    assert_eq!(owner.standing(PAGE), Standing::default());
}
