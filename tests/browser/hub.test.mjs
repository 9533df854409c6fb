// Models of the hub by a link or by name: progress, what is kept, licences, and what goes wrong.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, ON_CPU, open, PATIENCE, redrawn, settled, text } from "./browser.mjs";
import { checkpoint, trainedAdapters } from "./files.mjs";
import { Hub } from "./hub.mjs";

const LINK = { query: `${ON_CPU.query}&model=hf-hub:acme/tiny` };
const PIECE = 8 << 20;
const tiny = checkpoint("tiny").bytes;
/** Of two pieces. */
const large = checkpoint("large", { dim: 320 }).bytes;
const card = { "README.md": "---\nlicense: apache-2.0\n---\n", "config.json": "{}" };
const weightsOf = ({ asked }) => asked.filter((what) => what.includes("bytes="));

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Asks for a model by its name. */
async function load(page, name) {
    await page.fill("#hub-name", name);
    await page.click("#hub button");
}

/** The error that asking for a model ends with. */
async function refused(page, name) {
    await load(page, name);
    await page.waitForSelector("#error:not([hidden])", { timeout: PATIENCE });
    return settled(page);
}

test("a link opens a model of the hub, tells its licence, and finds it kept the next time", { timeout: PATIENCE }, async (t) => {
    const hub = new Hub({ ...card, "model.safetensors": tiny });
    const { page, check } = await open(t, browser, { ...LINK, hub });
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#model-name"), /^Teacher: hf-hub:acme\/tiny · licence: apache-2\.0/);
    assert.equal(await page.getAttribute("#model-name a", "href"), "https://huggingface.co/acme/tiny");
    assert.match(await page.evaluate(() => location.hash), /model=hf-hub%3Aacme%2Ftiny/);
    assert.equal(await page.evaluate(() => new URL(location).searchParams.has("model")), false);
    const before = hub.asked.length;
    await page.reload();
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#model-name"), /hf-hub:acme\/tiny · licence: apache-2\.0/);
    assert.equal(hub.asked.length, before, "nothing is asked for again");
    await redrawn(page, () => page.click("#shipped"));
    await page.reload();
    await settled(page);
    assert.doesNotMatch(await text(page, "#model-name"), /acme/, "the link is not followed again");
    check();
});

test("a download tells how far it is, and one that breaks off goes on where it stopped", { timeout: 2 * PATIENCE }, async (t) => {
    const hub = new Hub({ "model.safetensors": large });
    hub.fault = (what) => (what.includes(`bytes=${PIECE}-`) ? "lost" : null);
    const { page } = await open(t, browser, { ...ON_CPU, hub });
    await settled(page);
    const failure = await refused(page, "acme/tiny");
    assert.match(failure, /after 8 of 10 MB; they are kept, and loading it again goes on with them/);
    assert.doesNotMatch(await text(page, "#model-name"), /acme/, "the model before stays");
    assert.equal(await page.isVisible('figure[data-panel="teacher"] .cover'), false, "with its maps");
    hub.asked = [];
    let seen;
    hub.fault = async (what) => {
        if (what.includes("bytes=")) {
            seen = [await page.isVisible("#download progress"), await text(page, "#status"), await page.$eval("#download-bar", (bar) => bar.value / bar.max)];
        }
        return null;
    };
    await redrawn(page, () => load(page, "https://huggingface.co/acme/tiny"));
    assert.deepEqual(weightsOf(hub), [`model.safetensors bytes=${PIECE}-${large.length - 1}`]);
    assert.equal(seen[0], true);
    assert.match(seen[1], /hf-hub:acme\/tiny: 8 of 10 MB/);
    assert.ok(seen[2] > 0.8 && seen[2] < 0.9, `${seen[2]}`);
    assert.match(await text(page, "#model-name"), /acme/);
    assert.equal(await page.isVisible("#download"), false);
});

test("a download is stopped by its button, and the shipped model stays", { timeout: PATIENCE }, async (t) => {
    const hub = new Hub({ "model.safetensors": tiny });
    let begun;
    const waits = new Promise((resolve) => (begun = resolve));
    hub.fault = (what) => (what.includes("bytes=") ? new Promise((resolve) => (begun(), setTimeout(resolve, 5000, null))) : null);
    const { page } = await open(t, browser, { ...LINK, hub });
    await waits;
    await page.click("#download-stop");
    await page.waitForSelector("#error:not([hidden])", { timeout: PATIENCE });
    assert.match(await settled(page), /hf-hub:acme\/tiny: stopped; what is there is kept/);
    assert.doesNotMatch(await text(page, "#model-name"), /acme/);
});

test("what the hub has not, does not give or gives wrongly is said", { timeout: 2 * PATIENCE }, async (t) => {
    const cases = [
        ["acme/other", {}, /there is no such model, or its owner asks for a licence to be accepted first/],
        ["acme/tiny@v2", {}, /there is no such model or revision/],
        ["tiny", {}, /names no model of the hub: write OWNER\/NAME/],
        ["acme/../x", {}, /names no model of the hub/],
        ["acme/tiny", { files: { "pytorch_model.bin": tiny } }, /no model\.safetensors: `singer export hf-hub:acme\/tiny --to timm/],
        ["acme/tiny", { files: { "model.safetensors.index.json": "{}", "model-00001-of-00002.safetensors": tiny } }, /weights are in several files.*singer export/],
        ["acme/tiny", { files: { "a.safetensors": tiny, "b.safetensors": tiny } }, /name one, hf-hub:acme\/tiny\/FILE, of a\.safetensors, b\.safetensors/],
        ["acme/tiny", { sha256: "0".repeat(64) }, /not what the hub states \(SHA-256\)/],
        ["acme/tiny", { size: 3e9 }, /has 3000 MB; a page can load 2000 MB/],
        ["acme/tiny", { fault: "lost" }, /the hub cannot be reached/],
        ["acme/tiny", { fault: 503 }, /the hub answered 503/],
        ["acme/tiny", { files: { "model.safetensors": "<html>no such file</html>" } }, /web page/],
    ];
    const { page, context } = await open(t, browser, { ...ON_CPU, hub: new Hub({}) });
    await settled(page);
    for (const [name, { files = { "model.safetensors": tiny }, fault = null, ...stated }, expected] of cases) {
        const hub = new Hub(files, stated);
        hub.fault = () => fault;
        await context.unrouteAll();
        await hub.answer(context);
        assert.match((await refused(page, name)) ?? "no error", expected, name);
        assert.doesNotMatch(await text(page, "#model-name"), /acme/);
    }
});

test("one of several files is named, and a model without a licence is said to have none", { timeout: PATIENCE }, async (t) => {
    const hub = new Hub({ "a.safetensors": trainedAdapters("x").bytes, "b.safetensors": tiny }, { licence: null });
    const { page, check } = await open(t, browser, { ...ON_CPU, hub });
    await settled(page);
    assert.equal(await redrawn(page, () => load(page, "acme/tiny/b.safetensors")), null);
    assert.match(await text(page, "#model-name"), /hf-hub:acme\/tiny\/b\.safetensors · its page states no licence/);
    check();
});
