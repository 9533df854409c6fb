// Which piece of work a workgroup takes, where the host spreads them over two
// dimensions because one holds too few (`Gpu::spread`).

fn piece_of(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
