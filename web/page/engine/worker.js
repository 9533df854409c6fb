/** The engine's own thread: does one thing after another, in the order asked. */

import init, { Singer } from "../pkg/singer_web.js";
import { decode, thumbnail } from "./images.js";

/** @type {Singer} */
let singer;
/** @type {Map<string, OffscreenCanvas>} */
const canvases = new Map();
/** Decoded images by key. */
const images = new Map();
let nextKey = 1;
/** The looks that the panels were drawn with last. */
const drawn = new Map();
let last = Promise.resolve();
let failed = false;

const PANELS = ["teacher", "refined", "student"];
/** Side of a scene in pixels. */
const SCENE = 256;

const methods = {
    async open(prefer) {
        await init();
        singer = await Singer.open(prefer, fail);
        const device = singer.device();
        return { ...device, name: device.name || (await adapterName()) };
    },

    attach(panel, canvas) {
        canvases.set(panel, canvas);
    },

    resize(panel, width, height) {
        const canvas = canvases.get(panel);
        if (canvas.width !== width || canvas.height !== height) {
            canvas.width = width;
            canvas.height = height;
        }
    },

    async addImage(blob) {
        return keep(await decode(blob, Singer.imageSize));
    },

    addScene(seed) {
        return keep(singer.scene(seed, SCENE));
    },

    removeImage(key) {
        images.delete(key);
    },

    loadTeacher(name, bytes, configs, storage) {
        return singer.loadTeacher(name, new Uint8Array(bytes), configs, storage);
    },

    loadStudent(name, bytes, configs, storage) {
        return singer.loadStudent(name, new Uint8Array(bytes), configs, storage);
    },

    removeStudent() {
        singer.removeStudent();
    },

    loadAdapters(name, bytes) {
        return singer.loadAdapters(name, new Uint8Array(bytes));
    },

    async look(key, side) {
        const { image, ...seen } = await singer.look(kept(key), side);
        const pixels = new ImageData(image.data, image.width, image.height);
        return { ...seen, bitmap: await createImageBitmap(pixels) };
    },

    async show({ layer, quantile, strength, patch, shared, ...look }) {
        const maps = await singer.maps({ layer, quantile, strength });
        const similarity = patch === null ? null : await singer.similarity(patch);
        const kind = similarity ? "similarity" : "norm";
        const there = PANELS.filter((panel) => maps[panel]);
        // A student's features are in a space of their own, so are its norms.
        const alike = there.filter((panel) => panel !== "student");
        const range = shared ? extent(alike.map((panel) => maps[panel].norms)) : null;
        for (const panel of there) {
            const fixed = alike.includes(panel) ? range : null;
            const own = { ...look, kind, range: kind === "similarity" ? [-1, 1] : fixed };
            const canvas = canvases.get(panel);
            if (canvas) {
                await singer.draw(panel, canvas, own);
            }
            drawn.set(panel, own);
        }
        return { ...maps, similarity };
    },

    estimate(keys, seeds, side) {
        const chosen = [...keys.map(kept), ...seeds.map((seed) => singer.scene(seed, SCENE))];
        return singer.estimate(chosen, { side }, (...value) => postMessage({ event: "block", value }));
    },

    startFit(keys, settings) {
        return singer.startFit(keys.map(kept), settings);
    },

    fitStep() {
        return singer.fitStep();
    },

    async adapters() {
        return (await singer.adapters()).buffer;
    },

    async picture(panel, width, height) {
        const canvas = canvases.get(panel);
        const look = drawn.get(panel);
        if (!canvas || !look) {
            throw new Error(`nothing is drawn for the ${panel}`);
        }
        // A canvas of WebGPU can be copied only in the task that drew it.
        await singer.draw(panel, canvas, look);
        const copy = new OffscreenCanvas(width, height);
        const context = copy.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(canvas, 0, 0, width, height);
        return copy.transferToImageBitmap();
    },
};

/** What the browser tells of its adapter. */
async function adapterName() {
    const { vendor = "", architecture = "" } = (await navigator.gpu.requestAdapter())?.info ?? {};
    return `${vendor} ${architecture}`.trim();
}

async function keep(image) {
    const key = nextKey++;
    images.set(key, image);
    return { key, width: image.width, height: image.height, thumbnail: await thumbnail(image) };
}

function kept(key) {
    const image = images.get(key);
    if (!image) {
        throw new Error("the image is not there any more");
    }
    return image;
}

/** The least and the largest of several lists. */
function extent(lists) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of lists.flatMap((list) => Array.from(list))) {
        low = Math.min(low, value);
        high = Math.max(high, value);
    }
    return [low, high];
}

/** Tells the page once that nothing more is to be had from this worker. */
function fail(reason) {
    if (!failed) {
        failed = true;
        postMessage({ event: "lost", error: reason });
    }
}

// A module that has panicked answers nothing any more.
addEventListener("error", (event) => fail(`the engine failed: ${event.message}`));
addEventListener("unhandledrejection", (event) => fail(`the engine failed: ${event.reason}`));

async function answer({ id, method, args }) {
    try {
        const value = await methods[method](...args);
        postMessage({ id, value });
    } catch (error) {
        postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
}

addEventListener("message", ({ data }) => {
    last = last.then(() => answer(data));
});
