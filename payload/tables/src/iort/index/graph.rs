//! Which nodes lie on a cycle of output references.

use alloc::vec;
use alloc::vec::Vec;

/// Edges from node to node, by index: those of node `n` are `targets[starts[n]..starts[n + 1]]`.
pub(super) struct Graph {
    pub(super) starts: Vec<usize>,
    pub(super) targets: Vec<u32>,
}

const UNSEEN: u32 = u32::MAX;

impl Graph {
    fn edges(&self, node: u32) -> &[u32] {
        let node = node as usize;
        let range = self.starts.get(node).zip(self.starts.get(node + 1));
        range.and_then(|(start, end)| self.targets.get(*start..*end)).unwrap_or(&[])
    }

    /// For each node the number of its strongly connected component (Tarjan's algorithm, with a stack of its own: a
    /// chain may be as long as the table). Two nodes of one number reach each other.
    pub(super) fn components(&self) -> Vec<u32> {
        let nodes = self.starts.len().saturating_sub(1);
        let mut order = vec![UNSEEN; nodes];
        let mut low = vec![UNSEEN; nodes];
        let mut component = vec![UNSEEN; nodes];
        let (mut seen, mut components) = (0_u32, 0_u32);
        let mut open: Vec<u32> = Vec::new();
        let mut calls: Vec<(u32, usize)> = Vec::new();
        for root in 0..nodes as u32 {
            if get(&order, root) != UNSEEN {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, edge)) = calls.pop() {
                if edge == 0 {
                    set(&mut order, node, seen);
                    set(&mut low, node, seen);
                    seen += 1;
                    open.push(node);
                } else if let Some(child) = self.edges(node).get(edge - 1)
                    && get(&component, *child) == UNSEEN
                {
                    // Back from a child, or past one that was open already: as long as it is open, what it reaches counts.
                    let lowest = get(&low, node).min(get(&low, *child));
                    set(&mut low, node, lowest);
                }
                match self.edges(node).get(edge) {
                    Some(child) => {
                        calls.push((node, edge + 1));
                        if get(&order, *child) == UNSEEN {
                            calls.push((*child, 0));
                        }
                    }
                    None if get(&low, node) == get(&order, node) => {
                        while let Some(member) = open.pop() {
                            set(&mut component, member, components);
                            if member == node {
                                break;
                            }
                        }
                        components += 1;
                    }
                    None => {}
                }
            }
        }
        component
    }
}

fn get(list: &[u32], at: u32) -> u32 {
    list.get(at as usize).copied().unwrap_or(UNSEEN)
}

fn set(list: &mut [u32], at: u32, value: u32) {
    if let Some(place) = list.get_mut(at as usize) {
        *place = value;
    }
}
