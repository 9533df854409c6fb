import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, number, ON_CPU, ON_GPU, open, PATIENCE, redrawn, set, drop, settled, text } from "./browser.mjs";
import { checkpoint, closedForm, jpeg, otherJpeg, trainedAdapters } from "./files.mjs";

const CONTROLS = { layer: 5, factor: 3.5, strength: 0.5, overlay: 0.5, palette: "viridis", upsampling: "bilinear", range: "own" };
const shipped = (name) => new URL(`../../web/models/${name}`, import.meta.url).pathname;

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Norms that the page's own histogram was made from: as the engine gave them. */
const colours = (page, panel) =>
    page.$eval(`figure[data-panel="${panel}"] canvas`, (canvas) => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    });

test("the page loads its models and draws all panels of a scene", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#device"), /WebGPU/);
    assert.equal(await page.isVisible("#notice"), false);
    for (const panel of ["image", "teacher", "refined", "student"]) {
        assert.ok((await colours(page, panel)) > 10, `${panel} shows a map`);
    }
    const [raw, refined] = [await number(page, "#ratio-teacher"), await number(page, "#ratio-refined")];
    assert.ok(raw > 3 && refined < 2, `the refinement lowers ${raw} to ${refined}`);
    check();
});

test("every control redraws the maps and stands in the address", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    for (const [id, value] of Object.entries(CONTROLS)) {
        assert.equal(await redrawn(page, () => set(page, id, value)), null, id);
        assert.ok((await page.evaluate(() => location.hash)).includes(`=${value}`), id);
    }
    assert.match(await text(page, "#outliers-teacher"), / of 64$/);
    assert.equal(await redrawn(page, () => set(page, "side", 64)), null);
    assert.match(await text(page, "#outliers-teacher"), / of 256$/);
    const scene = await page.evaluate(() => location.hash);
    assert.equal(await redrawn(page, () => page.click("#scene")), null);
    assert.notEqual(await page.evaluate(() => location.hash), scene);

    const address = page.url();
    await page.goto("about:blank");
    await page.goto(address);
    assert.equal(await settled(page), null);
    for (const [id, value] of Object.entries(CONTROLS)) {
        assert.equal(await page.$eval(`#${id}`, (control) => control.value), String(value), id);
    }
    check();
});

test("the closed form refines from the block with artifacts on, and later blocks read refined tokens", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    assert.match(await text(page, "#found"), /closed form .* at block 3, of rank 1/);
    const ratios = async () => [await number(page, "#ratio-teacher"), await number(page, "#ratio-refined")];
    await redrawn(page, () => set(page, "layer", 2));
    assert.match(await text(page, 'figure[data-panel="refined"] figcaption'), /no artifacts so far/);
    const before = await ratios();
    assert.equal(before[0], before[1]);
    // No adapter is at the last block.
    await redrawn(page, () => set(page, "layer", 5));
    const [raw, refined] = await ratios();
    assert.ok(refined < 0.6 * raw, `${raw} became ${refined}`);
    await redrawn(page, () => set(page, "strength", 0));
    assert.deepEqual(await ratios(), [raw, raw]);
    check();
});

test("artifacts are found in the page, shown before and after, saved and opened again", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_CPU, hash: "#block=1" });
    await settled(page);
    assert.equal(await redrawn(page, () => page.click("#find")), null);
    assert.match(await text(page, "#found"), /^Artifacts in 64 images, looked at in \d+\.\d s/);
    const rows = await page.$$eval("#found-blocks tbody tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
    assert.deepEqual(rows.map(([block, rank]) => [block, rank]), [["3", "1"]]);
    const patches = Number.parseFloat(rows[0][2]);
    assert.ok(patches > 0.5 && patches < 10, `${patches} % of patches`);
    assert.match(rows[0][3], /^\d+\.\d %$/);
    // The page moves to the block that it found.
    assert.equal(await page.inputValue("#layer"), "3");
    const [raw, refined] = [await number(page, "#ratio-teacher"), await number(page, "#ratio-refined")];
    assert.ok(raw > 3 && refined < 2, `${raw} became ${refined}`);

    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-adapters")]);
    const bytes = readFileSync(await saved.path());
    await settled(page);
    assert.equal(await redrawn(page, () => page.click("#reset-adapters")), null);
    await page.selectOption("#role", "adapters");
    assert.equal(await redrawn(page, () => drop(page, [{ name: "mine.safetensors", bytes }])), null);
    assert.match(await text(page, "#found"), /closed form .* at block 3, of rank 1/);
    assert.equal(await page.isVisible("#found-blocks"), false);
    assert.equal(await number(page, "#ratio-refined"), refined);
    check();
});

test("a teacher without artifacts is left as it is", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    assert.match(await text(page, 'figure[data-panel="refined"] .cover'), /find artifacts below/);
    await redrawn(page, () => drop(page, [jpeg, otherJpeg]));
    assert.equal(await redrawn(page, () => page.click("#find")), null);
    assert.match(await text(page, "#found"), /^No artifacts in 64 images/);
    assert.equal(await page.isVisible("#found-blocks"), false);
    assert.equal(await number(page, "#ratio-refined"), await number(page, "#ratio-teacher"));
    check();
});

test("trained adapters of earlier runs still open, and say at which blocks they are", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await page.selectOption("#role", "adapters");
    assert.equal(await redrawn(page, () => drop(page, [trainedAdapters("singer.safetensors")])), null);
    assert.match(await text(page, "#found"), /Trained adapters of rank 1 at block 0/);
    await redrawn(page, () => set(page, "layer", 1));
    assert.match(await text(page, 'figure[data-panel="refined"] .cover'), /choose 0/);
    await redrawn(page, () => set(page, "layer", 0));
    assert.equal(await page.isVisible('figure[data-panel="refined"] .cover'), false);
    assert.notEqual(await number(page, "#ratio-refined"), await number(page, "#ratio-teacher"));
    assert.equal(await redrawn(page, () => drop(page, [closedForm("closed.safetensors", 1e6)])), null);
    assert.equal(await number(page, "#ratio-refined"), await number(page, "#ratio-teacher"));
    check();
});

test("the keyboard alone marks a patch and reads its similarity", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await page.focus('figure[data-panel="teacher"] .over');
    await redrawn(page, () => page.keyboard.press("Enter"));
    await redrawn(page, () => page.keyboard.press("ArrowRight"));
    assert.match(await text(page, "#similar"), /row 5, column 6: teacher -?\d\.\d\d, refined .*, student/);
    assert.equal(await page.$$eval(".cross:not([hidden])", (crosses) => crosses.length), 4);
    assert.match(await page.evaluate(() => location.hash), /patch=37/);
    await redrawn(page, () => page.keyboard.press("Escape"));
    assert.equal(await page.isVisible("#similar"), false);
    check();
});

test("a dropped JPEG is shown and named, and its pixels stay out of the address", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_CPU, hash: "#block=5" });
    await settled(page);
    assert.equal(await redrawn(page, () => drop(page, [jpeg, otherJpeg])), null);
    assert.deepEqual(await page.$$eval("#strip button", (all) => all.map((button) => button.ariaLabel)), ["Show tall.jpg", "Show small.jpg"]);
    assert.equal(await redrawn(page, () => page.click("#strip li:first-child button")), null);
    assert.equal(await page.evaluate(() => location.hash), "#block=5");
    check();
});

test("a picked file and a pasted one are opened too", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const file = { name: jpeg.name, mimeType: jpeg.type, buffer: jpeg.bytes };
    assert.equal(await redrawn(page, () => page.setInputFiles("#file", file)), null);
    const paste = (bytes) => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([new Uint8Array(bytes)], "pasted.jpg", { type: "image/jpeg" }));
        dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
    };
    assert.equal(await redrawn(page, () => page.evaluate(paste, [...otherJpeg.bytes])), null);
    assert.equal(await page.$$eval("#strip button", (all) => all.length), 2);
    check();
});

test("norms equal the native program's", { timeout: 2 * PATIENCE, skip: !process.env.SINGER_BIN && "SINGER_BIN is not set" }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    const folder = mkdtempSync(join(tmpdir(), "singer-page-"));
    for (const image of [jpeg, otherJpeg]) {
        await redrawn(page, () => drop(page, [image]));
        const path = join(folder, image.name);
        writeFileSync(path, image.bytes);
        const out = join(folder, "out");
        execFileSync(process.env.SINGER_BIN, [
            "inspect", path, "--teacher", shipped("demo-teacher.safetensors"),
            "--student", shipped("demo-student.safetensors"), "--layers", "3,5", "--device", "cpu", "--out", out,
        ]);
        const { images } = JSON.parse(readFileSync(join(out, "inspect.json"), "utf8"));
        for (const { layer, student_layer, threshold, maps } of images[0].layers) {
            const { teacher, student } = await engineMaps(page, image, layer);
            const native = (subject) => maps.find((map) => map.kind === "norm" && map.subject === subject).values;
            near(teacher.norms, native("teacher"), `${image.name}, teacher's block ${layer}`);
            near([teacher.threshold], [threshold], `${image.name}, threshold of block ${layer}`);
            assert.equal(student.layer, student_layer);
            near(student.norms, native("student"), `${image.name}, student's block ${student_layer}`);
        }
        rmSync(out, { recursive: true });
    }
    rmSync(folder, { recursive: true });
    check();
});

/** The numbers of a layer, from an engine of the page's own kind. */
function engineMaps(page, image, layer) {
    return page.evaluate(
        async ([bytes, layer]) => {
            const { Engine } = await import(new URL("engine/client.js", document.baseURI).href);
            const engine = await Engine.start("webgpu");
            const load = async (name) => (await fetch(`models/${name}.safetensors`)).arrayBuffer();
            await engine.loadTeacher("teacher", await load("demo-teacher"), {});
            await engine.loadStudent("student", await load("demo-student"), {});
            const { key } = await engine.addImage(new Blob([new Uint8Array(bytes)]));
            await engine.look(key, 0);
            const view = { layer, quantile: 0.97, strength: 1, patch: null, palette: "grey", upsampling: "nearest", opacity: 1, shared: false };
            const { teacher, student } = await engine.show(view);
            engine.stop();
            const plain = (panel) => ({ ...panel, norms: [...panel.norms] });
            return { teacher: plain(teacher), student: plain(student) };
        },
        [[...image.bytes], layer],
    );
}

function near(found, wanted, what) {
    assert.equal(found.length, wanted.length, what);
    for (const [at, value] of wanted.entries()) {
        const off = Math.abs(found[at] - value) / Math.abs(value);
        assert.ok(off < 1e-3, `${what}, patch ${at}: ${found[at]}, natively ${value}`);
    }
}

test("a dropped checkpoint becomes the teacher, and is there the next time", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    assert.equal(await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")])), null);
    assert.match(await text(page, "#model-info"), /2 blocks of width 8/);
    assert.match(await text(page, 'figure[data-panel="student"] .cover'), /no student/);
    await page.selectOption("#role", "student");
    assert.equal(await redrawn(page, () => drop(page, [checkpoint("small.safetensors", { seed: 2, dim: 4, heads: 1 })])), null);
    assert.match(await text(page, "#model-info"), /2 blocks of width 4/);

    await page.reload();
    await settled(page);
    assert.match(await text(page, "#stored"), /tiny\.safetensors \(teacher/);
    assert.match(await text(page, "#model-name"), /^Teacher: tiny\.safetensors$/, "a reload keeps the model");
    const load = page.locator("#stored button[aria-label='Load tiny.safetensors']");
    assert.equal(await redrawn(page, () => load.click()), null);
    assert.match(await text(page, "#model-info"), /2 blocks of width 8/);
    await page.click("#stored button[aria-label='Remove tiny.safetensors']");
    await settled(page);
    assert.doesNotMatch(await text(page, "#stored"), /tiny/);
    check();
});

test("training in the page lowers the loss, and its adapters are saved and loaded", { timeout: 3 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await set(page, "layer", 0);
    await page.click("summary");
    await page.fill("#train-steps", "3");
    await page.fill("#train-lr", "0.02");
    await page.fill("#train-rank", "4");
    await page.fill("#train-outlier", "1");
    assert.equal(await redrawn(page, () => page.click("#train")), null);
    const [first, last] = await page.$eval("#train-loss", ({ dataset }) => [dataset.first, dataset.last].map(Number));
    assert.ok(last < first, `from ${first} to ${last}`);
    assert.equal(await page.isVisible('figure[data-panel="refined"] .cover'), false);
    const trained = await number(page, "#ratio-refined");

    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-adapters")]);
    const bytes = readFileSync(await saved.path());
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await page.selectOption("#role", "adapters");
    assert.equal(await redrawn(page, () => drop(page, [{ name: "mine.safetensors", bytes }])), null);
    assert.equal(await number(page, "#ratio-refined"), trained);
    check();
});

test("panels fit a new width that comes while adapters are being fitted", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await page.click("summary");
    await page.fill("#train-steps", "3");
    await page.click("#train");
    await page.setViewportSize({ width: 390, height: 800 });
    assert.equal(await settled(page), null);
    await page.waitForFunction(
        () =>
            [...document.querySelectorAll("figure[data-panel]")].every((figure) => {
                const [frame, shown] = [".frame", ".over"].map((part) => figure.querySelector(part).clientWidth);
                return frame > 0 && frame === shown;
            }),
        null,
        { timeout: PATIENCE },
    );
    check();
});

test("weights in half precision give nearly the same norms and are not refined", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    // Numbers that half precision cannot hold.
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors", { dim: 16 })]));
    const ratio = await number(page, "#ratio-teacher");
    assert.equal(await redrawn(page, () => page.check("#half")), null);
    assert.match(await text(page, "#model-info"), /in half precision/);
    const rounded = await number(page, "#ratio-teacher");
    assert.ok(Math.abs(rounded - ratio) < 0.02 * ratio, `${ratio} became ${rounded}`);
    await page.click("#find");
    await page.waitForSelector("#error:not([hidden])");
    assert.match(await settled(page), /full precision/);
    assert.equal(await redrawn(page, () => page.uncheck("#half")), null);
    assert.equal(await number(page, "#ratio-teacher"), ratio);
    check();
});

test("the panels are saved as one PNG", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-png")]);
    const bytes = readFileSync(await saved.path());
    assert.equal(bytes.subarray(1, 4).toString(), "PNG");
    assert.ok(bytes.readUInt32BE(16) > 4 * 512, "four panels wide");
    assert.ok(bytes.readUInt32BE(20) > 512 + 120, "with lines above and a scale below");
    check();
});

test("the engine is in a worker: the page's own thread never loads it", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    assert.deepEqual(page.workers().map((worker) => new URL(worker.url()).pathname), ["/demo/engine/worker.js"]);
    const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
    assert.ok(loaded.some((name) => name.endsWith("engine/client.js")));
    assert.ok(!loaded.some((name) => name.endsWith(".wasm")), loaded.join(" "));
    check();
});

test("the page works without a network once it was loaded", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, context, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await page.waitForFunction(() => navigator.serviceWorker.controller, null, { timeout: PATIENCE });
    await context.setOffline(true);
    await page.reload();
    assert.equal(await settled(page), null);
    assert.ok((await colours(page, "teacher")) > 10);
    check();
});
