//! Clients that write at once: whatever they are answered, some order of them explains it, and nothing is lost.
//!
//! A case is a handful of requests by two or three clients, some of them truly at once. The reference model restates the
//! documented contract; it is asked what each request may be answered, in every order where several went together. A case
//! that fails is shrunk. `LONGSHORE_SEED` gives a printed seed again, `LONGSHORE_CASES` says how many.

mod client;
mod model;
mod script;

use std::{
    cell::{Cell, RefCell},
    sync::Barrier,
};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use self::{
    client::{Book, Client, said},
    model::{Model, Said, Site, bytes, site},
    script::{CONTENTS, Case, Condition, Deploy, SHARED, Step, case},
};
use crate::{listing::contents, pod::Pod, served::Served};

/// Cases that one server sees, so that the journal is not what is tested.
const CASES_OF_A_SERVER: u64 = 40;

/// A server, and what the model thinks of it.
struct World {
    pod: Pod,
    served: Served,
    model: Model,
    cases: u64,
}

impl World {
    fn new(book: &RefCell<Book>) -> Self {
        let pod = Pod::in_memory();
        let served = pod.serve();
        let shared = Step::Send { contents: (0..SHARED).collect(), at_once: true };
        let mut client = Client::new(&served, Site::new());
        let mut book = book.borrow_mut();
        (0..SHARED).for_each(|content| book.knows(bytes(0, content)));
        let answers = client.send(&client.requests(0, &shared, 0, &book));
        answers.into_iter().for_each(|answer| drop(answer.expect(200)));
        Self { pod, served, model: Model::default(), cases: 0 }
    }
}

/// Who did what, and was told what.
type Told<'a> = (usize, &'a Step, Said);

/// Where the model can be after these answers, in whatever order explains them.
fn explained(case: u64, model: &Model, told: &[Told<'_>], clients: &[Client], alone: bool) -> Vec<Model> {
    if told.is_empty() {
        return vec![model.clone()];
    }
    let mut ends = Vec::new();
    for first in 0..told.len() {
        let mut rest = told.to_vec();
        let (who, step, said) = rest.remove(first);
        for (expected, next) in model.outcomes(case, step, &clients[who].seen, alone) {
            if expected == said {
                ends.extend(explained(case, &next, &rest, clients, alone));
            }
        }
    }
    ends
}

/// Runs a round: the clients `who` do their steps at once. Fails when no order explains what they are told.
fn round(
    case: u64,
    world: &mut World,
    book: &RefCell<Book>,
    clients: &mut [Client],
    steps: &[(usize, &Step)],
    start: u64,
) -> Result<String, String> {
    let requests: Vec<_> = {
        let book = book.borrow_mut();
        steps.iter().map(|(who, step)| clients[*who].requests(case, step, start, &book)).collect()
    };
    let barrier = Barrier::new(steps.len());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        let mut requests = requests.iter();
        for (who, client) in clients.iter_mut().enumerate() {
            if steps.iter().any(|(one, _)| *one == who) {
                let (requests, barrier) = (requests.next().expect("each has some"), &barrier);
                running.push(scope.spawn(move || {
                    barrier.wait();
                    client.send(requests)
                }));
            }
        }
        running.into_iter().map(|thread| thread.join().expect("a client ends")).collect()
    });
    // Releases that were made are known before others speak of them.
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|n| answers[*n][0].status >= 300);
    let mut told: Vec<Option<Told<'_>>> = vec![None; steps.len()];
    for n in order {
        told[n] = Some((steps[n].0, steps[n].1, said(&world.served, book, &answers[n])));
    }
    let told: Vec<Told<'_>> = told.into_iter().flatten().collect();
    let trace =
        told.iter().map(|(who, step, said)| format!("\n  client {who}: {step:?}\n    {said:?}")).collect::<String>();
    let ends = explained(case, &world.model, &told, clients, steps.len() == 1);
    let (live, seq) = clients[0].look(&world.served, book);
    let end = ends.into_iter().find(|end| end.live().is_some_and(|site| **site == live) && Some(end.seq()) == seq);
    let Some(end) = end else {
        let before = world.model.live();
        return Err(format!(
            "no order explains this:{trace}\nfrom {before:?}, {}\nto {live:?}, {seq:?}",
            world.model.seq()
        ));
    };
    for (who, _, said) in told {
        if let Said::Live(site) | Said::Made { site, .. } = said {
            clients[who].seen = site;
        }
    }
    world.model = end;
    Ok(trace)
}

fn run(world: &mut World, book: &RefCell<Book>, nonce: u64, case: &Case) -> Result<(), String> {
    {
        let mut book = book.borrow_mut();
        (SHARED..CONTENTS).for_each(|content| book.knows(bytes(nonce, content)));
    }
    let (set, remove, condition) = (case.start.clone(), None, Condition::None);
    let first = Step::Deploy(Deploy { base: false, set, remove, parent: false, condition, meant: true });
    let seen = site(nonce, &case.start, "");
    let mut clients: Vec<_> = case.clients.iter().map(|_| Client::new(&world.served, seen.clone())).collect();
    let mut trace = round(nonce, world, book, &mut clients, &[(0, &first)], 0)?;
    let start = world.model.begin();
    let mut programs: Vec<_> = case.clients.iter().map(|steps| steps.iter()).collect();
    let all: u8 = (1 << clients.len()) - 1;
    let alone = (0..clients.len()).flat_map(|who| std::iter::repeat_n(1 << who, 6));
    for who in case.rounds.iter().map(|who| who & all).chain(alone) {
        let turn = programs.iter_mut().enumerate().filter(|(n, _)| who >> n & 1 == 1);
        let steps: Vec<_> = turn.filter_map(|(n, program)| Some((n, program.next()?))).collect();
        if !steps.is_empty() {
            trace += "\nthen at once:";
            trace +=
                &round(nonce, world, book, &mut clients, &steps, start).map_err(|error| format!("{trace}\n{error}"))?;
        }
    }
    // What a web server would read, byte for byte.
    let live = world.model.live().map(|live| (**live).clone()).unwrap_or_default();
    let live: Vec<_> = live.into_iter().map(|(path, file)| (path, file.bytes.into_bytes())).collect();
    let shown: Vec<_> = contents(&world.pod.volume()).into_iter().collect();
    if shown != live {
        return Err(format!("{trace}\nthe volume shows {shown:?}\nnot {live:?}"));
    }
    world.model.settle();
    Ok(())
}

#[test]
#[expect(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
fn a_thousand_interleavings_lose_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let seed = number("LONGSHORE_SEED").unwrap_or(now);
    let cases = number("LONGSHORE_CASES").map_or(1_000, |cases| u32::try_from(cases).unwrap_or(u32::MAX));
    eprintln!("LONGSHORE_SEED={seed}");
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases, failure_persistence: None, rng_seed, max_shrink_iters: 300, ..Config::default() };
    let (book, world, nonce) = (RefCell::new(Book::default()), RefCell::new(None), Cell::new(0));
    let ran = TestRunner::new(config).run(&case(), |case| {
        nonce.set(nonce.get() + 1);
        let mut used = world.take().filter(|world: &World| world.cases < CASES_OF_A_SERVER);
        let world_of_case = used.get_or_insert_with(|| World::new(&book));
        world_of_case.cases += 1;
        // A server of which the model lost track is not asked again.
        run(world_of_case, &book, nonce.get(), &case).map_err(TestCaseError::fail)?;
        world.replace(used);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("LONGSHORE_SEED={seed}: {error}"));
}
