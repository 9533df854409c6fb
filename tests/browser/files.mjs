// Files to drop: images, and tiny checkpoints under timm's names.
import { readFileSync } from "node:fs";

const golden = (name) => readFileSync(new URL(`../golden/preprocess/${name}`, import.meta.url));

/** A photograph-like JPEG of the library's own tests. */
export const jpeg = { name: "tall.jpg", type: "image/jpeg", bytes: golden("tall.jpg") };
export const otherJpeg = { name: "small.jpg", type: "image/jpeg", bytes: golden("small.jpg") };

export const empty = { name: "empty.png", type: "image/png", bytes: [] };
export const noImage = { name: "words.jpg", type: "image/jpeg", bytes: Buffer.from("not an image at all") };
export const svg = {
    name: "drawing.svg",
    type: "image/svg+xml",
    bytes: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
};
export const cutJpeg = { name: "cut.jpg", type: "image/jpeg", bytes: golden("tall.jpg").subarray(0, 400) };

/** The start of a JPEG of 20,000 x 20,000 pixels. */
export const hugeJpeg = {
    name: "huge.jpg",
    type: "image/jpeg",
    bytes: Buffer.from([
        0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0,
        0xff, 0xc0, 0, 17, 8, 0x4e, 0x20, 0x4e, 0x20, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1,
        0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0, 0,
    ]),
};

/** Shape of the tiny models. */
const DIM = 8;
const DEPTH = 2;

/** A tiny ViT with weights that follow from `seed`, as a file under timm's names. */
export function checkpoint(name, { seed = 1, dim = DIM, heads = 2, side = 8, patch = 4 } = {}) {
    let state = seed;
    const random = () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return (state / 2 ** 32 - 0.5) * 0.6;
    };
    const tensors = {
        cls_token: [1, 1, dim],
        pos_embed: [1, 1 + (side / patch) ** 2, dim],
        "patch_embed.proj.weight": [dim, 3, patch, patch],
        "patch_embed.proj.bias": [dim],
        "norm.weight": [dim],
        "norm.bias": [dim],
        "head.weight": [3, dim],
        "head.bias": [3],
    };
    for (let block = 0; block < DEPTH; block += 1) {
        const shapes = {
            "norm1.weight": [dim],
            "norm1.bias": [dim],
            "attn.qkv.weight": [3 * dim, dim],
            "attn.qkv.bias": [3 * dim],
            "attn.proj.weight": [dim, dim],
            "attn.proj.bias": [dim],
            "norm2.weight": [dim],
            "norm2.bias": [dim],
            "mlp.fc1.weight": [4 * dim, dim],
            "mlp.fc1.bias": [4 * dim],
            "mlp.fc2.weight": [dim, 4 * dim],
            "mlp.fc2.bias": [dim],
        };
        for (const [key, shape] of Object.entries(shapes)) {
            tensors[`blocks.${block}.${key}`] = shape;
        }
    }
    const config = {
        img_size: [side, side],
        patch_size: patch,
        embed_dim: dim,
        depth: DEPTH,
        num_heads: heads,
        mlp_ratio: 4,
        num_classes: 3,
        reg_tokens: 0,
        no_embed_class: false,
        init_values: null,
        norm_eps: 1e-6,
    };
    const header = { __metadata__: { "singer.vit": JSON.stringify(["vit_tiny_patch16_224", config]) } };
    const values = [];
    let at = 0;
    for (const [key, shape] of Object.entries(tensors)) {
        const count = shape.reduce((product, side) => product * side, 1);
        header[key] = { dtype: "F32", shape, data_offsets: [at, at + 4 * count] };
        at += 4 * count;
        for (let i = 0; i < count; i += 1) {
            values.push(/norm\d?\.weight$/.test(key) ? 1 : random());
        }
    }
    return { name, bytes: safetensors(header, Buffer.from(new Float32Array(values).buffer)) };
}

/** Adapters of rank 1 at a tiny model's first block, as a run before the closed form wrote them. */
export function trainedAdapters(name) {
    const header = { __metadata__: { layers: "[0]", student_layers: "[1]" } };
    return { name, bytes: adapters(header, { down: [DIM, 1, 0.5], up: [1, DIM, 0.3] }) };
}

/** A closed form at a tiny model's first block that refines tokens which score above `limit`. */
export function closedForm(name, limit) {
    const header = { __metadata__: { layers: "[0]", refinement: "closed", class_token: "true" } };
    return { name, bytes: adapters(header, { down: [DIM, 1, -0.5], up: [1, DIM, 0.5], centre: [DIM, 0.1], limit: [1, limit] }) };
}

/** `parts` are shapes, each followed by the value of all elements. */
function adapters(header, parts) {
    const values = [];
    for (const [part, given] of Object.entries(parts)) {
        const shape = given.slice(0, -1);
        const count = shape.reduce((product, side) => product * side, 1);
        const [from, to] = [values.length, values.length + count].map((at) => 4 * at);
        header[`adapter.0.${part}`] = { dtype: "F32", shape, data_offsets: [from, to] };
        values.push(...new Array(count).fill(given.at(-1)));
    }
    return safetensors(header, Buffer.from(new Float32Array(values).buffer));
}

function safetensors(header, data) {
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, text, data]);
}

/** Broken checkpoints, with what their messages say. */
export function brokenCheckpoints() {
    const whole = checkpoint("whole.safetensors").bytes;
    const claimed = Buffer.from(whole.subarray(0, 64));
    claimed.writeBigUInt64LE(4n << 30n);
    return [
        [{ name: "cut.safetensors", bytes: whole.subarray(0, whole.length - 100) }, /bytes of data/],
        [{ name: "header.safetensors", bytes: claimed }, /header reaches past its end/],
        [{ name: "none.safetensors", bytes: Buffer.alloc(0) }, /empty/],
        [{ name: "words.safetensors", bytes: Buffer.from("<html>no such file</html>") }, /web page/],
    ];
}
