//! barnes: stars attract each other, computed by the method of Barnes and Hut.
//!
//! ```text
//! dsmexec machine_file barnes-rs [BODIES] [STEPS]
//! ```
//! Space is a cube, which is divided into eight, and each of these again, until every cell has one body: a tree,
//! built anew in each step. A cell that is far away acts on a body as one heavy body at its centre of mass, so that
//! n bodies take about n log n steps and not n^2.
//!
//! Worth a look: the trees, one for each of 64 cubes, are built of boxes and vectors in shared memory, by the rank
//! whose cube it is, without a lock: until it is hung up, a tree belongs to who builds it. Each hangs in an `RwLock`.
//! With the 64 read guards a rank has all trees as plain references, and walks them as it would in private memory.
//! A new tree is hung up in place of the old one, which is freed by that.
//!
//! A tree does not depend on who builds it, and sums are made in the order of the tree: rank 0 computes the same alone
//! and compares bit by bit. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, scramble};
use dsm::{RwLock, Shareable};
use std::error::Error;
use std::process::ExitCode;

type Vector = [f64; 3];

/// What is in a cube. A cell without children is a body.
#[derive(Shareable)]
struct Cell {
    mass: f64,
    centre: Vector,
    edge: f64,
    body: usize,
    children: dsm::Vec<Cell>,
}

#[derive(Clone, Copy)]
struct Cube {
    middle: Vector,
    half: f64,
}

/// None where there is no body.
type Tree = Option<dsm::Box<Cell>>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let purpose = "Stars attract each other, by the method of Barnes and Hut.";
    let mut arguments = Arguments::new("barnes", purpose);
    let bodies = arguments.number("BODIES", "how many", 1..=10_000_000, 512);
    let steps = arguments.number("STEPS", "in time", 1..=1_000_000, 2);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    // Where all bodies are, which every rank reads; how fast the rank's own are, only it knows.
    let mut places = node.named_parts::<f64>("places", bodies, AXES)?;
    let forest = node.named_array::<RwLock<Tree>>("forest", CUBES)?;
    let (rank, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    let mine = places.range(node.rank());
    let mine = mine.start / AXES..mine.end / AXES;
    let mut speeds = vec![[0.0; AXES]; mine.len()];
    places.mine().copy_from_slice(made_up(bodies)[mine.clone()].as_flattened());

    let mut run = Run::begin("barnes", &node)?;
    let mut all = vec![[0.0; AXES]; bodies];
    for _ in 0..steps {
        places.read_into(0, all.as_flattened_mut());
        for (number, by_cube) in by_cube(&all).into_iter().enumerate() {
            if number * nodes / CUBES == rank {
                *forest[number].write() = tree(by_cube, &all);
            }
        }
        node.barrier()?; // all trees are there
        let guards: Vec<_> = forest.iter().map(RwLock::read).collect();
        let trees: Vec<&Cell> = guards.iter().filter_map(|tree| tree.as_deref()).collect();
        let own = places.mine().as_chunks_mut().0.iter_mut().zip(&mut speeds);
        for (body, (place, speed)) in mine.clone().zip(own) {
            move_body(place, speed, &trees, body);
        }
        drop(guards);
        node.barrier()?; // nobody needs the trees any more, and all bodies have moved
    }
    run.end()?;

    if rank == 0 {
        let mut result = vec![0.0; bodies * AXES];
        places.read_into(0, &mut result);
        let expected = run.alone(|| alone(bodies, steps));
        let place = |at| format!("body {} on axis {}", at / AXES, at % AXES);
        run.compare(&result, expected.as_flattened(), place);
    }
    let code = run.report(format_args!("{bodies} bodies, {steps} steps"));
    node.finalize()?;
    Ok(code)
}

/// The smallest cube about 0 that has all bodies in it, divided into 64, and which bodies are in each.
fn by_cube(places: &[Vector]) -> Vec<(Cube, Vec<usize>)> {
    let half = places.as_flattened().iter().fold(0.0, |half: f64, at| half.max(at.abs()));
    let space = Cube { middle: [0.0; AXES], half };
    let cubes = (0..CUBES).map(|number| (space.child(number / 8).child(number % 8), Vec::new()));
    let mut cubes: Vec<_> = cubes.collect();
    for (body, place) in places.iter().enumerate() {
        let octant = space.octant(place);
        cubes[octant * 8 + space.child(octant).octant(place)].1.push(body);
    }
    cubes
}

fn tree((cube, bodies): (Cube, Vec<usize>), places: &[Vector]) -> Tree {
    grow(cube, bodies, places).map(dsm::Box::new)
}

/// The cell for the bodies in a cube, if there are any.
fn grow(cube: Cube, bodies: Vec<usize>, places: &[Vector]) -> Option<Cell> {
    let (mass, children) = (MASS, dsm::Vec::new());
    match bodies[..] {
        [] => None,
        [body] => Some(Cell { mass, centre: places[body], edge: 0.0, body, children }),
        _ => {
            let mut octants = [const { Vec::new() }; 8];
            for body in bodies {
                octants[cube.octant(&places[body])].push(body);
            }
            let octants = octants.into_iter().enumerate();
            let child = |(octant, bodies)| grow(cube.child(octant), bodies, places);
            Some(Cell::new(octants.filter_map(child).collect(), 2.0 * cube.half))
        }
    }
}

/// Lets the trees pull at a body for a while.
fn move_body(place: &mut Vector, speed: &mut Vector, trees: &[&Cell], body: usize) {
    let mut force = [0.0; AXES];
    for tree in trees {
        tree.attract(body, place, &mut force);
    }
    for axis in 0..AXES {
        speed[axis] += STEP * force[axis];
        place[axis] += STEP * speed[axis];
    }
}

impl Cell {
    fn new(children: dsm::Vec<Self>, edge: f64) -> Self {
        let mass = children.iter().map(|child| child.mass).sum();
        let moment = |axis: usize| -> f64 {
            children.iter().map(|child| child.mass * child.centre[axis]).sum()
        };
        let centre = [0, 1, 2].map(|axis| moment(axis) / mass);
        Self { mass, centre, edge, body: 0, children }
    }

    /// Adds what this cell does to a body.
    fn attract(&self, body: usize, place: &Vector, force: &mut Vector) {
        let apart = [0, 1, 2].map(|axis| self.centre[axis] - place[axis]);
        let square = apart.iter().fold(SOFTENING, |sum, apart| sum + apart * apart);
        let is_body = self.children.is_empty();
        if !is_body && self.edge * self.edge >= OPENING * square {
            self.children.iter().for_each(|child| child.attract(body, place, force));
        } else if !(is_body && self.body == body) {
            let pull = self.mass / (square * square.sqrt());
            force.iter_mut().zip(apart).for_each(|(force, apart)| *force += pull * apart);
        }
    }
}

impl Cube {
    /// In which eighth a place is: a bit for each axis.
    fn octant(&self, place: &Vector) -> usize {
        let bit = |axis: usize| usize::from(place[axis] > self.middle[axis]) << axis;
        bit(0) + bit(1) + bit(2)
    }

    fn child(&self, octant: usize) -> Self {
        let half = self.half / 2.0;
        let side = |axis: usize| if octant >> axis & 1 == 1 { half } else { -half };
        Self { middle: [0, 1, 2].map(|axis| self.middle[axis] + side(axis)), half }
    }
}

/// Bodies are strewn over a cube of edge 2, at rest.
fn made_up(bodies: usize) -> Vec<Vector> {
    let place = |number: u64| (scramble(number) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
    (0..bodies as u64).map(|body| [0, 1, 2].map(|axis| place(3 * body + axis))).collect()
}

/// What one process alone computes.
fn alone(bodies: usize, steps: usize) -> Vec<Vector> {
    let mut places = made_up(bodies);
    let mut speeds = vec![[0.0; AXES]; bodies];
    for _ in 0..steps {
        let forest = by_cube(&places).into_iter().filter_map(|cube| tree(cube, &places));
        let forest: Vec<_> = forest.collect();
        let trees: Vec<&Cell> = forest.iter().map(|tree| &**tree).collect();
        for (body, (place, speed)) in places.iter_mut().zip(&mut speeds).enumerate() {
            move_body(place, speed, &trees, body);
        }
    }
    places
}

const AXES: usize = 3;
const CUBES: usize = 64;
/// Of a body.
const MASS: f64 = 1.0 / 1024.0;
/// A cell is far away if (edge / distance)^2 is below this.
const OPENING: f64 = 0.25;
/// Keeps bodies that meet from infinite forces.
const SOFTENING: f64 = 0.002;
/// In time.
const STEP: f64 = 0.01;
