//! The table: every input at every door, with the canary looked at after each.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use super::{
    door::{Door, Knock, of_archives, of_bucket, of_paths, of_seeds},
    inputs::{Class, Files, Input, Verdict, entries},
    tars::tars,
    world::World,
    zips::zips,
};

/// The most levels of folders, the file's name included.
const DEEPEST: usize = 128;

#[derive(Default)]
struct Counts {
    refused: usize,
    taken: usize,
    /// By why it cannot be said there.
    cannot: BTreeMap<String, usize>,
    failures: Vec<String>,
}

/// What the door is to do with the input.
fn expected<'a>(door: &Door, input: &'a Input) -> Option<&'a Files> {
    static NONE: Files = Vec::new();
    let files = match &input.verdict {
        Verdict::Fine(files) if door.class != Class::Never => files,
        Verdict::FineIn(classes, files) if classes.contains(&door.class) => files,
        Verdict::Reserved(files) if door.class == Class::Below => files,
        // What every file system has is passed over.
        Verdict::Reserved(files) if door.class == Class::Folder && files[0].0.starts_with("lost+found") => &NONE,
        _ => return None,
    };
    let is_encoded_twice = |path: &str| ["%2e", "%2f", "%00"].iter().any(|escape| path.contains(escape));
    if matches!(door.class, Class::Address | Class::Below) && files.iter().any(|(path, _)| is_encoded_twice(path)) {
        return None;
    }
    let levels = |path: &str| path.split('/').count() + door.below.matches('/').count();
    files.iter().all(|(path, _)| levels(path) <= DEEPEST).then_some(files)
}

fn check(world: &mut World, door: &Door, input: &Input, counts: &mut Counts) -> Result<(), String> {
    let expected = expected(door, input);
    // Where a seed is taken, a volume of its own takes it: `fill` waits for readers of what it replaces.
    let volume = world.pod.path(if door.is_seed() && expected.is_some() { "fresh" } else { "volume" });
    match (door.knock(world, input, &volume), expected) {
        (Knock::Cannot(why), _) => {
            *counts.cannot.entry(format!("{}: {why}", door.name)).or_default() += 1;
            Ok(())
        }
        (Knock::Wrong(what), _) => Err(what),
        (Knock::Refused, None) => {
            counts.refused += 1;
            world.check_unharmed()
        }
        (Knock::Taken, Some(files)) => {
            counts.taken += 1;
            for (path, bytes) in files {
                match fs::read(volume.join(door.below).join(path)) {
                    Ok(found) if found == *bytes => {}
                    found => return Err(format!("{path:?} is {found:?}")),
                }
            }
            World::check_modes(&volume)?;
            world.check_canary()?;
            if door.is_seed() {
                fs::remove_dir_all(volume).expect("it is removed");
                world.check_unharmed()
            } else {
                world.restore()
            }
        }
        (Knock::Taken, None) => {
            let site = crate::listing::contents(&world.pod.volume());
            world.restore()?;
            Err(format!("it was taken: {:?}", site.keys().collect::<Vec<_>>()))
        }
        (Knock::Refused, Some(_)) => Err("it was refused".into()),
    }
}

fn run(doors: &[Door], inputs: impl Fn(&World) -> Vec<Input>) -> Counts {
    let mut world = World::new();
    let mut counts = Counts::default();
    for input in inputs(&world) {
        for door in doors.iter().filter(|door| !input.is_one_of_many || door.takes_one()) {
            if let Err(why) = check(&mut world, door, &input, &mut counts) {
                counts.failures.push(format!("{} at {}: {why}", input.what, door.name));
                // What it left is not the next one's.
                world.look_again();
            }
        }
    }
    counts
}

/// How many worlds there are at once: much of the time they wait.
const LANES: usize = 8;

/// Runs the doors, a few each in a world of their own side by side, and tells what was done.
#[expect(clippy::print_stderr, reason = "the counts are shown with `--nocapture`, and with a failure")]
fn run_all(doors: impl Iterator<Item = Door>, inputs: impl Fn(&World) -> Vec<Input> + Sync) {
    let inputs = &inputs;
    let mut groups: Vec<Vec<Door>> = (0..LANES).map(|_| Vec::new()).collect();
    doors.enumerate().for_each(|(at, door)| groups[at % LANES].push(door));
    let all: Vec<Counts> = std::thread::scope(|scope| {
        let running: Vec<_> = groups.iter().map(|doors| scope.spawn(move || run(doors, inputs))).collect();
        running.into_iter().map(|one| one.join().expect("a group of doors ends")).collect()
    });
    let mut report = String::new();
    let (mut refused, mut taken) = (0, 0);
    for counts in &all {
        refused += counts.refused;
        taken += counts.taken;
        for (why, times) in &counts.cannot {
            let _ = writeln!(report, "  {times:>4} cannot be said at {why}");
        }
    }
    let doors: usize = groups.iter().map(Vec::len).sum();
    eprintln!("{doors} doors: {refused} refused, {taken} taken as they should be\n{report}");
    let failures: Vec<_> = all.iter().flat_map(|counts| &counts.failures).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} combinations are wrong:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_name_and_no_link_leaves_the_site_by_any_door() {
    run_all([of_paths(), of_archives(), of_seeds()].into_iter().flatten(), |world| entries(world.canary()));
}

#[test]
fn no_key_of_a_bucket_leaves_the_site() {
    run_all([of_bucket()].into_iter(), |world| entries(world.canary()));
}

#[test]
fn no_archive_brings_anything_but_what_every_reader_sees() {
    let seeds = of_seeds().into_iter().filter(|door| door.class != Class::Folder);
    run_all(of_archives().into_iter().chain(seeds), |_| tars().into_iter().chain(zips()).collect());
}
