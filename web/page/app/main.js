/** Puts the page together: what is opened, shown, changed and saved. */

import { Engine } from "../engine/client.js";
import { showDevice } from "./device.js";
import { byId } from "./dom.js";
import { fromHub, listenForHub, takeLinked } from "./downloads.js";
import { listen } from "./drop.js";
import { rolesOf } from "./files.js";
import { isHub } from "./hub.js";
import { Images } from "./images.js";
import { learn } from "./lesson.js";
import { Maps } from "./maps.js";
import { Models } from "./models.js";
import { Panels } from "./panels.js";
import { isIdle, run, runQuietly, whenReady } from "./queue.js";
import * as refinement from "./refinement.js";
import { download, sheet } from "./save.js";
import { clearError, setState, showError, state } from "./status.js";
import * as storage from "./storage.js";
import "./tour.js";
import { verdict } from "./verdict.js";
import { factor, label, marked, onChange, readAddress, setBlocks, setSides, side, writeAddress } from "./view.js";

/** The scene that is shown first, and how many there are to go through. */
const [FIRST_SCENE, SCENES] = [20002, 1_000_000];
/** Longest side of a panel in a saved picture, in pixels. */
const SAVED = 512;
/** How many images this tab had opened, which a reload forgets. */
const OPENED = "singer-opened";

const images = new Images(() =>
    run("Looking at the image", async () => {
        marked.scene = images.scene;
        writeAddress();
        await look();
    }),
);
const models = new Models();
const panels = new Panels((kept) => {
    marked.patch = kept;
    changed(false);
});
const maps = new Maps(panels, models);
/** @type {Engine} */
let engine;
/** Name of the teacher that the input sizes are for. */
let sizedFor = null;

/** Starts an engine; a browser without WebGPU gives the CPU's. */
async function start() {
    const prefer = new URLSearchParams(location.search).get("device") ?? "auto";
    engine = await Engine.start(prefer, { onLost });
    showDevice(engine.device, prefer);
    images.use(engine);
    models.use(engine);
    maps.use(engine);
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
    if (complete()) {
        await maps.look(images.chosen);
    }
}

/** Draws at the panels' new width, whatever was shown to the user before. */
async function fit() {
    if (complete() && state() !== "lost") {
        await panels
            .fit(engine)
            .then(() => maps.draw())
            .catch(showError);
    }
}

/** After a control or the mark has changed. */
function changed(input) {
    writeAddress();
    clearError();
    if (input) {
        run("Looking at the image", look);
    } else if (isIdle() && complete()) {
        maps.draw().catch(showError);
    }
}

/** Loads models, while the maps of those before are covered; what is there in the end is shown. */
function load(words, action) {
    return run(words, async () => {
        maps.hide(words);
        try {
            await action();
        } finally {
            await (models.teacher && settle());
        }
    });
}

/** A new set of models: the sliders fit it, and it looks at the image. */
async function settle() {
    setBlocks(models.teacher.depth);
    if (sizedFor !== models.name) {
        sizedFor = models.name;
        setSides(models.teacher);
    }
    marked.model = models.ownTeacher;
    writeAddress();
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
    const again = () => (models.teacher ? models.reload() : models.loadShipped(Number(byId("models").value)));
    models.half = checkbox.checked;
    try {
        await again();
    } catch (error) {
        models.half = checkbox.checked = !checkbox.checked;
        await (models.teacher && again());
        throw error;
    }
}

function openImages(files) {
    run("Reading the image", async () => {
        const failures = [];
        const before = images.count;
        for (const file of files) {
            await images.add(file, file.name || "image").catch((error) => failures.push(error.message));
        }
        if (images.count > before) {
            await images.clearScene();
            marked.scene = null;
            sessionStorage.setItem(OPENED, images.count);
            writeAddress();
            await look();
        }
        if (failures.length > 0) {
            const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : "";
            throw new Error(failures[0] + more);
        }
    });
}

function openModels(files, configs) {
    const names = files.map(({ name }) => name).join(" and ");
    load(`Loading ${names}`, async () => {
        let kept = true;
        for (const { file, role } of await rolesOf(files, byId("role").value, Boolean(models.teacher))) {
            kept = (await models.loadFile(role, file, configs)) && kept;
        }
        mustBeKept(names, kept);
    });
}

function openFromHub(text, role) {
    load(`Looking for ${text} on the hub`, async () => {
        const model = await fromHub(text);
        mustBeKept(model.name, await models.loadDownloaded(role, model));
    });
}

function mustBeKept(name, kept) {
    if (!kept) {
        throw new Error(`${name}: in use, but this browser has no room to keep it for next time`);
    }
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
        await maps.draw();
    });
}

function train() {
    const layer = Number(byId("layer").value);
    const last = models.teacher.depth - 1;
    run("Fitting the adapters", async () => {
        const wanted = refinement.settings([layer], side());
        const done = await refinement.fit(engine, images.keys, wanted, async () => {
            models.adapters = { layers: [...new Set([layer, last])].sort((a, b) => a - b), rank: wanted.rank, closed: false };
            await maps.draw();
        });
        if (maps.shown?.refined) {
            refinement.judge(done, maps.shown);
        }
    });
}

function teach() {
    const refined = byId("learn-refined").checked ? models.layers : [];
    const layers = refined.length > 0 ? refined : [Number(byId("layer").value)];
    run("Teaching a student", async () => {
        const done = await learn(engine, images.keys, (marked.scene ?? FIRST_SCENE) + 1, layers, async (info) => {
            models.setLearnt(info);
            await maps.draw();
        });
        byId("learnt").textContent = done;
    });
}

async function savePicture() {
    const { shown } = maps;
    if (!shown) {
        throw new Error("there are no maps to save yet");
    }
    const what = shown.similarity ? "cosine similarity to the marked patch" : "L2 norm of each patch's features";
    const lines = [`${models.name}, block ${shown.teacher.layer}: ${what}`, verdict(shown, factor()).join(" ")];
    download(await sheet(lines, await panels.pictured(engine, SAVED)), shown.similarity ? "patch-similarity.png" : "patch-norms.png");
}

async function share() {
    writeAddress();
    await navigator.clipboard.writeText(location.href).then(
        () => setState("ready", `The link is copied; it holds the view, not your image${marked.model === null || isHub(marked.model) ? "" : " or your model"}`),
        () => setState("ready", "The address bar holds the link"),
    );
}

function connect() {
    whenReady(() => (complete() ? "" : `Open ${models.teacher ? "an image" : "a model"}`));
    onChange(changed);
    listen(openImages, openModels, showError);
    listenForHub((text) => openFromHub(text, byId("role").value === "student" ? "student" : "teacher"));
    byId("scene").onclick = () => run("Drawing a scene", () => showScene(((marked.scene ?? FIRST_SCENE) + 1) % SCENES));
    byId("models").onchange = ({ target }) =>
        target.value !== "own" && load("Loading the models", () => models.loadShipped(Number(target.value)));
    byId("shipped").onclick = () => load("Loading the models", () => models.loadShipped(0));
    byId("half").onchange = ({ target }) => load("Loading the models again", () => keepIn(target));
    byId("stored").addEventListener("load-model", ({ detail: { role, name } }) =>
        load(`Loading ${name}`, () => models.loadStored(role, name)),
    );
    byId("stored").addEventListener("remove-model", ({ detail: { role, name } }) =>
        run(`Removing ${name}`, async () => {
            await storage.remove(role, name);
            await models.showStored();
        }),
    );
    byId("find").onclick = find;
    byId("train").onclick = train;
    byId("learn").onclick = teach;
    byId("save-student").onclick = () =>
        run("Saving the student", async () => download(new Blob([await engine.saveStudent()]), "student.safetensors"));
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
            runQuietly(fit);
        }
    }).observe(byId("panels"));
    addEventListener("hashchange", () => {
        const { scene: before, model } = marked;
        readAddress();
        const scene = marked.scene;
        if (marked.model !== model) {
            load("Loading the models", loadAddressed);
        }
        run("Showing the view", () => (scene !== null && scene !== before ? showScene(scene) : look()));
    });
}

/** Loads the teacher that the address names, where this browser keeps it or the hub has it; else the shipped one. */
async function loadAddressed() {
    const name = marked.model;
    const kept = name !== null && (await storage.list()).some((file) => file.role === "teacher" && file.name === name);
    if (isHub(name) && !kept) {
        try {
            await models.loadDownloaded("teacher", await fromHub(name));
        } catch (error) {
            await (models.teacher || models.loadShipped(0));
            throw error;
        }
        return;
    }
    await (kept ? models.loadStored("teacher", name) : models.loadShipped(0));
    if (name !== null && !kept) {
        throw new Error(`this link is to a view of ${name}, which is not in this browser: open that file; until then the shipped model is shown`);
    }
}

async function main() {
    const linked = takeLinked();
    readAddress();
    marked.model ??= linked;
    const scene = marked.scene ?? FIRST_SCENE;
    try {
        await start();
    } catch (error) {
        setState("failed", "");
        showError(error);
        return;
    }
    connect();
    const forgotten = Number(sessionStorage.getItem(OPENED) ?? 0);
    sessionStorage.removeItem(OPENED);
    await run("Loading the models", async () => {
        await models.showStored();
        await models.list();
        // Before the models: where none can be loaded, the user's own finds an image.
        const patch = marked.patch;
        await images.setScene(scene);
        marked.scene = scene;
        marked.patch = patch;
        try {
            await loadAddressed();
        } finally {
            await (models.teacher && settle());
        }
    });
    if (forgotten > 0 && state() === "ready") {
        setState("ready", `Images stay in this page alone, so a reload forgot ${forgotten}: open them again`);
    }
    navigator.serviceWorker?.register("sw.js").catch(() => {
        // The page works without; it only needs the network the next time.
    });
}

main();
