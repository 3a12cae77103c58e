//! What happens as time passes, and nodes come and go.

use super::*;

#[test]
fn a_home_that_takes_over_asks_agents_whose_numbers_go_on_and_tells_states_once_more() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    let id = AttachmentId { epoch: epoch(2), number: 8 };
    (front.resumes, front.next, front.forwarded_lately) = (Some(id), 4, true);
    let heard = front.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(Attached { had: 3, .. })]), "{heard:?}");
    assert_eq!(home.info(1).full_state, FullState::Wanted);
    assert_eq!(home.told(), []);
    let heard = front.hears();
    let [Heard::Push(question)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(question.flags, 1);
    front.message(41, &state());
    let told = home.told();
    assert!(told.len() == 1 && told[0].health.is_some() && told[0].sequence_num == 41);
    home.bench.says(1, &ServerToAgent::default());
    // The former home may have told the server something else last.
    home.bench.sessions.sweep(clock::now() + Duration::from_secs(29));
    assert_eq!(home.told(), []);
    home.bench.sessions.sweep(clock::now() + Duration::from_secs(31));
    let told = home.told();
    assert!(told.len() == 1 && told[0].agent_description.is_some(), "{told:?}");
}

#[test]
fn an_agent_that_comes_anew_after_its_home_has_died_is_told_of_once_when_it_has_said_all() {
    let first = AgentToServer { health: None, ..state() };
    for answers in [true, false] {
        let home = HomeBench::new();
        let mut front = Front::new(&home, 1, (2, 5));
        let heard = front.attaches(41, &first);
        assert!(matches!(heard[..], [Heard::Attached(_), Heard::Answer(_)]), "{heard:?}");
        assert_eq!(home.told(), [], "the agent is asked first");
        let asked = front.hears();
        assert!(matches!(&asked[..], [Heard::Push(asks)] if asks.flags == 1), "{asked:?}");
        if answers {
            front.message(42, &state());
        } else {
            home.bench.sessions.sweep(clock::now() + Duration::from_secs(31));
        }
        let told = home.told();
        assert!(told.len() == 1 && told[0].agent_description.is_some(), "{told:?}");
        assert_eq!(told[0].health.is_some(), answers, "what is there is told in the end");
    }
}

#[test]
fn a_front_hears_when_the_server_has_answered_what_it_was_told() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    front.carries = FieldSet::EMPTY;
    let heard = front.attaches(3, &state());
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    front.carries = FieldSet::of(&agent_field::STATE_PARTS);
    assert!(!front.message(3, &state()).contains(&Heard::Told(1)));
    assert_eq!(home.told().len(), 1);
    home.bench.says(1, &ServerToAgent::default());
    assert!(front.hears().contains(&Heard::Told(1)));
    front.message(4, &AgentToServer::default());
    home.bench.says(1, &ServerToAgent::default());
    assert!(!front.hears().iter().any(|it| matches!(it, Heard::Told(_))), "it knows");
}

#[test]
fn a_front_that_is_back_names_what_it_has_and_the_rest_is_lost() {
    let home = HomeBench::new();
    let mut stays = settled(&home, 1, (2, 5));
    let goes = settled(&home, 2, (2, 6));
    home.fleet().node_lost(node(2));
    home.bench.says(1, &offer(b"a"));
    assert_eq!(stays.hears(), [], "its front is out of reach");
    assert_eq!(home.sessions(), (2, 0));
    let heard = stays.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Push(_)]), "{heard:?}");
    for agent in [1, 2] {
        goes.says(&ToHome::AllHere(shard_of(uid(agent))));
    }
    assert_eq!(home.sessions(), (1, 1));
    home.fleet().node_gone(node(2));
    assert_eq!(home.sessions(), (0, 2));
    assert_eq!(home.info(1).full_state, FullState::Wanted, "what it may have held is lost");
    assert_eq!(home.info(2).full_state, FullState::Reported);
}

#[test]
fn a_front_out_of_reach_has_half_an_hour() {
    let home = HomeBench::new();
    let _front = settled(&home, 1, (2, 5));
    home.fleet().node_lost(node(2));
    let minutes = |count: u64| clock::now() + Duration::from_secs(60 * count);
    home.bench.sessions.sweep(minutes(29));
    assert_eq!(home.sessions(), (1, 0));
    home.bench.sessions.sweep(minutes(31));
    assert_eq!(home.sessions(), (0, 1));
}

#[test]
fn an_absence_lasts_as_long_as_agents_may_wait_at_another_gate() {
    let home = HomeBench::new();
    settled(&home, 1, (2, 5)).detaches(DetachReason::Drained, false);
    assert_eq!(home.sessions(), (0, 1), "drained agents come back elsewhere");
    let seconds = |count: u64| clock::now() + Duration::from_secs(count);
    home.ways.set_absence(AbsenceEnd::At(seconds(300)));
    home.bench.sessions.sweep(seconds(100));
    home.ways.set_absence(AbsenceEnd::WhenKnown(seconds(1_800)));
    home.bench.sessions.sweep(seconds(301));
    assert_eq!((home.told(), home.sessions()), (vec![], (0, 1)));
    home.ways.set_absence(AbsenceEnd::Now);
    home.bench.sessions.sweep(seconds(310));
    assert!(home.told()[0].agent_disconnect.is_some());
    home.bench.assert_empty();
}
