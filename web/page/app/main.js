/** Puts the page together: what is opened, shown, changed and saved. */

import { Engine } from "../engine/client.js";
import { histogram } from "./charts.js";
import { byId } from "./dom.js";
import { listen } from "./drop.js";
import { Images } from "./images.js";
import { Models } from "./models.js";
import { showNumbers, showSimilarity } from "./numbers.js";
import { Panels } from "./panels.js";
import * as refinement from "./refinement.js";
import { download, sheet } from "./save.js";
import { clearError, setState, showError, state } from "./status.js";
import * as storage from "./storage.js";
import { label, marked, onChange, readAddress, request, setBlocks, writeAddress } from "./view.js";

/** The scene that is shown first, and how many there are to go through. */
const [FIRST_SCENE, SCENES] = [20002, 1_000_000];
/** Longest side of a panel in a saved picture, in pixels. */
const SAVED = 512;

const images = new Images(() => run("Looking at the image", look));
const models = new Models();
const panels = new Panels((patch) => {
    marked.patch = patch;
    changed(false);
});
/** @type {Engine} */
let engine;
let lookTimes = [];
let queue = Promise.resolve();
let running = 0;

/** Does one thing after another; an error is shown and the page goes on. */
function run(words, action) {
    running += 1;
    queue = queue.then(async () => {
        clearError();
        setState("busy", words);
        try {
            await action();
        } catch (error) {
            showError(error);
        } finally {
            running -= 1;
        }
        if (state() !== "lost" && running === 0) {
            setState("ready", complete() ? "" : `Open ${models.teacher ? "an image" : "a model"}`);
        }
    });
    return queue;
}

/** Starts an engine; a browser without WebGPU gives the CPU's. */
async function start() {
    const prefer = new URLSearchParams(location.search).get("device") ?? "auto";
    engine = await Engine.start(prefer, { onLost });
    const { backend, name } = engine.device;
    byId("device").textContent = backend === "cpu" ? "CPU" : `WebGPU${name && ` (${name})`}`;
    byId("half").disabled = backend === "cpu";
    byId("notice").hidden = backend !== "cpu" || prefer === "cpu";
    images.use(engine);
    models.use(engine);
    await panels.attach(engine);
}

function onLost(message) {
    setState("lost", "");
    byId("lost").hidden = false;
    byId("lost").querySelector("p").textContent = `${message}. What you opened is still here.`;
}

async function startAgain() {
    engine.stop();
    byId("lost").hidden = true;
    setState("busy", "Starting again");
    await run("Starting again", async () => {
        await start();
        await models.reload();
        await images.reload();
        await look();
    });
}

/** Whether there is an image, and a model to look at it. */
const complete = () => images.chosen !== null && Boolean(models.teacher);

/** Shows the chosen image to the models, and their maps. */
async function look() {
    if (!complete()) {
        return;
    }
    const seen = await engine.look(images.chosen, side());
    lookTimes = seen.times;
    await panels.setImage(engine, seen);
    panels.caption("image", `${seen.size[1]}×${seen.size[0]} px, ${seen.grid[1]}×${seen.grid[0]} patches`);
    await draw();
}

/** Shorter side of the input in pixels. */
function side() {
    return Math.min(...models.teacher.size) * Number(byId("side").value);
}

/** Draws at the panels' new width, whatever was shown to the user before. */
async function fit() {
    if (complete() && state() !== "lost") {
        await panels.fit(engine).then(draw).catch(showError);
    }
}

/** Computes and draws what the controls ask for. */
async function draw() {
    marked.patch = panels.setMark(marked.patch);
    const wanted = request();
    const shown = await engine.show(wanted);
    if (shown === null) {
        return;
    }
    panels.cover("teacher", null);
    panels.cover("refined", shown.refined ? null : withoutAdapter());
    panels.cover("student", shown.student ? null : "no student is loaded");
    panels.caption("teacher", `block ${shown.teacher.layer}`);
    panels.caption("refined", shown.refined ? refinedHow(wanted) : "");
    panels.caption("student", shown.student ? `block ${shown.student.layer}` : "");
    histogram(byId("histogram"), shown);
    showNumbers(shown, [...lookTimes, ...shown.times]);
    showSimilarity(shown.similarity, marked.patch, panels.grid);
    document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn) + 1;
}

function withoutAdapter() {
    const there = models.layers.join(" or ");
    return there ? `no adapter at this block: choose ${there}` : "not refined yet: find artifacts below";
}

/** What the refined panel shows. */
function refinedHow({ layer, strength }) {
    if (models.adapters.closed && !(models.layers[0] <= layer)) {
        return `block ${layer}, no artifacts so far`;
    }
    return strength === 1 ? `block ${layer}` : `block ${layer}, ${strength.toFixed(2)} × the adapter`;
}

/** After a control or the mark has changed. */
function changed(input) {
    writeAddress();
    clearError();
    if (input) {
        run("Looking at the image", look);
    } else if (running === 0 && complete()) {
        draw().catch(showError);
    }
}

/** A new set of models: the sliders fit it, and it looks at the image. */
async function settle() {
    setBlocks(models.teacher.depth);
    showRefinedBlock();
    await look();
}

/** Moves to the first refined block where the chosen one is not refined. */
function showRefinedBlock() {
    const layer = Number(byId("layer").value);
    const refined = models.adapters?.closed ? models.layers[0] <= layer : models.layers.includes(layer);
    if (models.layers.length > 0 && !refined) {
        byId("layer").value = models.layers[0];
        label();
    }
}

/** Loads everything in the precision of a checkbox; where that fails, in the one before. */
async function keepIn(checkbox) {
    const load = () => (models.teacher ? models.reload() : models.loadShipped(Number(byId("models").value)));
    models.half = checkbox.checked;
    try {
        await load();
    } catch (error) {
        models.half = checkbox.checked = !checkbox.checked;
        await (models.teacher && load());
        throw error;
    } finally {
        await (models.teacher && settle());
    }
}

function openImages(files) {
    run("Reading the image", async () => {
        if (marked.scene !== null) {
            await images.clearScene();
            marked.scene = null;
        }
        const failures = [];
        for (const file of files) {
            await images.add(file, file.name || "image").catch((error) => failures.push(error.message));
        }
        if (images.chosen === null) {
            await showScene(FIRST_SCENE);
        } else {
            writeAddress();
            await look();
        }
        if (failures.length > 0) {
            const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : "";
            throw new Error(failures[0] + more);
        }
    });
}

function openModel(file, configs) {
    const role = byId("role").value;
    run(`Loading ${file.name}`, async () => {
        const kept = await models.loadFile(role, file, configs);
        await settle();
        if (!kept) {
            throw new Error(`${file.name} is in use, but this browser has no room to keep it for next time`);
        }
    });
}

async function showScene(seed) {
    await images.setScene(seed);
    marked.scene = seed;
    writeAddress();
    await look();
}

function find() {
    run("Looking for artifacts", async () => {
        const onBlock = (done, blocks) => setState("busy", `Looking for artifacts: ${done} of ${blocks} blocks`);
        // The scene that is shown counts as opened.
        const seed = (marked.scene ?? FIRST_SCENE) + 1;
        models.adapters = await refinement.find(engine, images.keys, seed, side(), onBlock);
        showRefinedBlock();
        writeAddress();
        await draw();
    });
}

function train() {
    const layer = Number(byId("layer").value);
    const last = models.teacher.depth - 1;
    run("Fitting the adapters", async () => {
        const wanted = refinement.settings([layer], side(), Number(byId("quantile").value));
        setState("training", "Fitting: starting from the nullspace");
        byId("train-stop").hidden = false;
        byId("train").disabled = true;
        try {
            await refinement.fit(engine, images.keys, wanted, async (step, steps) => {
                models.adapters = { layers: [...new Set([layer, last])], rank: wanted.rank, closed: false };
                setState("training", `Fitting: step ${step} of ${steps}`);
                await draw();
            });
        } finally {
            byId("train-stop").hidden = true;
            byId("train").disabled = false;
        }
    });
}

async function savePicture() {
    const shown = [...document.querySelectorAll("figure[data-panel]")].filter(
        (figure) => figure.querySelector(".cover")?.hidden ?? true,
    );
    const [rows, columns] = panels.grid;
    const [width, height] = [columns, rows].map((count) => Math.round((SAVED * count) / Math.max(rows, columns)));
    const drawn = [];
    for (const figure of shown) {
        const panel = figure.dataset.panel;
        const source = panel === "image" ? figure.querySelector("canvas") : await engine.picture(panel, width, height);
        drawn.push({ title: figure.querySelector("figcaption").textContent.trim(), source });
    }
    download(await sheet(drawn), "patch-norms.png");
}

async function share() {
    writeAddress();
    await navigator.clipboard.writeText(location.href).then(
        () => setState("ready", "The link is copied; it holds the view, not your image"),
        () => setState("ready", "The address bar holds the link"),
    );
}

function connect() {
    onChange(changed);
    listen(openImages, openModel, showError);
    byId("scene").onclick = () => run("Drawing a scene", () => showScene(((marked.scene ?? FIRST_SCENE) + 1) % SCENES));
    byId("models").onchange = ({ target }) =>
        run("Loading the models", async () => {
            await models.loadShipped(Number(target.value));
            await settle();
        });
    byId("half").onchange = ({ target }) => run("Loading the models again", () => keepIn(target));
    byId("stored").addEventListener("load-model", ({ detail: { role, name } }) =>
        run(`Loading ${name}`, async () => {
            await models.loadStored(role, name);
            await settle();
        }),
    );
    byId("stored").addEventListener("remove-model", ({ detail: { role, name } }) =>
        run(`Removing ${name}`, async () => {
            await storage.remove(role, name);
            await models.showStored();
        }),
    );
    byId("find").onclick = find;
    byId("train").onclick = train;
    byId("train-stop").onclick = refinement.stop;
    byId("save-adapters").onclick = () =>
        run("Saving the adapters", async () => download(new Blob([await engine.adapters()]), "singer.safetensors"));
    byId("reset-adapters").onclick = () =>
        run("Loading the adapters", async () => {
            await models.resetAdapters();
            await look();
        });
    byId("save-png").onclick = () => run("Saving the picture", savePicture);
    byId("share").onclick = share;
    byId("lost").querySelector("button").onclick = startAgain;
    let size = byId("panels").clientWidth;
    new ResizeObserver(([{ contentRect }]) => {
        if (contentRect.width !== size) {
            size = contentRect.width;
            queue = queue.then(fit);
        }
    }).observe(byId("panels"));
    addEventListener("hashchange", () => {
        const before = marked.scene;
        readAddress();
        const scene = marked.scene;
        run("Showing the view", () => (scene !== null && scene !== before ? showScene(scene) : look()));
    });
}

async function main() {
    readAddress();
    const scene = marked.scene ?? FIRST_SCENE;
    try {
        await start();
    } catch (error) {
        setState("failed", "");
        showError(error);
        return;
    }
    connect();
    await run("Loading the models", async () => {
        await models.showStored();
        await models.list();
        // Before the models: where none can be loaded, the user's own finds an image.
        const patch = marked.patch;
        await images.setScene(scene);
        marked.scene = scene;
        marked.patch = patch;
        await models.loadShipped(0);
        setBlocks(models.teacher.depth);
        await look();
    });
    navigator.serviceWorker?.register("sw.js").catch(() => {
        // The page works without; it only needs the network the next time.
    });
}

main();
