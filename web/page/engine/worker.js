/** The engine's own thread: does one thing after another, in the order asked. */

import init, { Singer } from "../pkg/singer_web.js";
import { prefersGpu } from "./choose.js";
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
        const slow = prefer === "auto" && !(await prefersGpu());
        singer = await Singer.open(slow ? "cpu" : prefer, fail);
        const device = singer.device();
        // Whether there is WebGPU all the same.
        const slowGpu = slow && navigator.gpu ? await adapterName() : "";
        return { ...device, name: device.name || (await adapterName()), slowGpu };
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
        const ranges = similarity ? ofSimilarity(similarity, patch, there, shared) : ofNorms(maps, there, shared);
        for (const panel of there) {
            const own = { ...look, kind, range: ranges[panel] };
            if (similarity && shared) {
                own.palette = "diverging";
            }
            const canvas = canvases.get(panel);
            if (canvas) {
                await singer.draw(panel, canvas, own);
            }
            drawn.set(panel, own);
        }
        return { ...maps, similarity, ranges };
    },

    estimate(keys, seeds, side) {
        return singer.estimate(withScenes(keys, seeds), { side }, (...value) => postMessage({ event: "block", value }));
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

    startLesson(keys, seeds, settings) {
        return singer.startLesson(withScenes(keys, seeds), settings);
    },

    lessonStep() {
        return singer.lessonStep();
    },

    showStudent() {
        return singer.showStudent();
    },

    async saveStudent() {
        return (await singer.saveStudent()).buffer;
    },

    palette(name) {
        return Singer.palette(name);
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

/** Opened images, filled up with scenes. */
const withScenes = (keys, seeds) => [...keys.map(kept), ...seeds.map((seed) => singer.scene(seed, SCENE))];

/** Norms of each panel's first and last colour: shared ones are equal multiples of its median. */
function ofNorms(maps, panels, shared) {
    const over = panels.map((panel) => [panel, maps[panel].median || 1]);
    const own = new Map(over.map(([panel, median]) => [panel, extent(maps[panel].norms).map((norm) => norm / median)]));
    const all = extent([...own.values()].flat());
    return Object.fromEntries(over.map(([panel, median]) => [panel, (shared ? all : own.get(panel)).map((times) => times * median)]));
}

/** Similarities of each panel's first and last colour: all there can be, or the least and the largest to other patches. */
function ofSimilarity(similarity, patch, panels, shared) {
    const others = (panel) => similarity[panel].filter((_, at) => at !== patch);
    const range = (panel) => (shared || similarity[panel].length < 2 ? [-1, 1] : extent(others(panel)));
    return Object.fromEntries(panels.map((panel) => [panel, range(panel)]));
}

/** The least and the largest. */
function extent(values) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) {
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
