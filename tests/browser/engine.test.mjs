// The package on its own, as another page would use it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, ON_CPU, open, PATIENCE, settled } from "./browser.mjs";
import { checkpoint, closedForm } from "./files.mjs";

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Runs a function in a page with `Singer` and the bytes of tiny models. */
async function inPage(t, work) {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const teacher = [...checkpoint("teacher").bytes];
    const student = [...checkpoint("student", { seed: 2, dim: 4, heads: 1 }).bytes];
    const closed = [...closedForm("closed", 0.4).bytes];
    // As text: the page's policy allows no code that is made from strings.
    const given = await page.evaluate(`(async () => {
        const { default: init, Singer } = await import(new URL("pkg/singer_web.js", document.baseURI).href);
        await init();
        const bytes = (values) => new Uint8Array(values);
        const models = { teacher: bytes([${teacher}]), student: bytes([${student}]), closed: bytes([${closed}]) };
        return (${work})(Singer, models);
    })()`);
    check();
    return given;
}

test("WebGPU and the CPU give the same norms, thresholds and similarities", { timeout: PATIENCE }, async (t) => {
    const work = async (Singer, { teacher, student }) => {
        const all = [];
        for (const prefer of ["webgpu", "cpu"]) {
            const singer = await Singer.open(prefer);
            await singer.loadTeacher("teacher", teacher, {});
            await singer.loadStudent("student", student, {});
            await singer.startFit([singer.scene(1, 8)], { layers: [0], side: 0, rank: 4, quantile: 0.9, lr: 1e-3, steps: 1, outlier: 1, info: 1 });
            await singer.look(singer.scene(7, 64), 16);
            const numbers = [];
            for (const [layer, strength] of [[0, 1], [1, 0.5], [0, 2]]) {
                const maps = await singer.maps({ layer, quantile: 0.8, strength });
                const similar = await singer.similarity(5);
                for (const panel of ["teacher", "refined", "student"]) {
                    const { norms, threshold, median, max } = maps[panel];
                    numbers.push(...norms, threshold, median, max, ...similar[panel]);
                }
            }
            all.push({ backend: singer.device().backend, numbers });
            singer.free();
        }
        return all;
    };
    const [gpu, cpu] = await inPage(t, work);
    assert.deepEqual([gpu.backend, cpu.backend], ["webgpu", "cpu"]);
    assert.equal(gpu.numbers.length, cpu.numbers.length);
    gpu.numbers.forEach((value, at) => {
        const off = Math.abs(value - cpu.numbers[at]) / Math.max(1, Math.abs(cpu.numbers[at]));
        assert.ok(off < 1e-3, `${at}: ${value} and ${cpu.numbers[at]}`);
    });
});

test("WebGPU and the CPU refine the same tokens by a gated adapter, also in the blocks after it", { timeout: PATIENCE }, async (t) => {
    const work = async (Singer, { teacher, closed }) => {
        const all = [];
        for (const prefer of ["webgpu", "cpu"]) {
            const singer = await Singer.open(prefer);
            await singer.loadTeacher("teacher", teacher, {});
            const info = await singer.loadAdapters("closed", closed);
            await singer.look(singer.scene(7, 64), 64);
            const maps = [];
            for (const [layer, strength] of [[0, 1], [1, 1], [0, 0.5], [1, 0.5]]) {
                const { teacher: raw, refined } = await singer.maps({ layer, quantile: 0.8, strength });
                maps.push([[...raw.norms], [...refined.norms]]);
            }
            all.push({ info, maps });
            singer.free();
        }
        return all;
    };
    const [gpu, cpu] = await inPage(t, work);
    assert.deepEqual([gpu.info, cpu.info], [gpu, cpu].map(() => ({ layers: [0], rank: 1, closed: true })));
    gpu.maps.forEach(([raw, refined], map) => {
        const changed = refined.filter((norm, at) => norm !== raw[at]).length;
        assert.ok(changed > 0, `map ${map} is not refined`);
        // Of the adapter's own block some patches pass as they are.
        assert.ok(map % 2 === 1 || changed < raw.length, `${changed} of ${raw.length} in map ${map}`);
        refined.forEach((norm, at) => {
            const wanted = cpu.maps[map][1][at];
            assert.ok(Math.abs(norm - wanted) < 1e-4 * wanted, `${map}, ${at}: ${norm} and ${wanted}`);
        });
    });
});

test("WebGPU and the CPU find the same artifacts", { timeout: 4 * PATIENCE }, async (t) => {
    const work = async (Singer) => {
        const teacher = new Uint8Array(await (await fetch("models/demo-teacher.safetensors")).arrayBuffer());
        const all = [];
        for (const prefer of ["webgpu", "cpu"]) {
            const singer = await Singer.open(prefer);
            await singer.loadTeacher("teacher", teacher, {});
            const scenes = Array.from({ length: 16 }, (_, at) => singer.scene(20002 + at, 32));
            const heard = [];
            const found = await singer.estimate(scenes, { side: 0 }, (done, blocks) => heard.push([done, blocks]));
            await singer.look(singer.scene(20002, 256), 0);
            const { refined } = await singer.maps({ layer: 3, quantile: 0.97, strength: 1 });
            all.push({ found, heard, norms: [...refined.norms] });
            singer.free();
        }
        return all;
    };
    const [gpu, cpu] = await inPage(t, work);
    assert.equal(cpu.found.images, 16);
    assert.deepEqual(cpu.found.blocks.map(({ block, rank }) => [block, rank]), [[3, 1]]);
    assert.deepEqual(gpu.found, cpu.found);
    assert.deepEqual(gpu.heard, [1, 2, 3, 4, 5, 6].map((done) => [done, 6]));
    gpu.norms.forEach((norm, at) => assert.ok(Math.abs(norm - cpu.norms[at]) < 1e-3 * norm, `${at}: ${norm} and ${cpu.norms[at]}`));
});

test("a map is drawn in the colours of its palette, over the image where asked", { timeout: PATIENCE }, async (t) => {
    const work = async (Singer, { teacher }) => {
        const drawn = [];
        for (const prefer of ["webgpu", "cpu"]) {
            const singer = await Singer.open(prefer);
            await singer.loadTeacher("teacher", teacher, {});
            const white = { data: new Uint8ClampedArray(4 * 64).fill(255), width: 8, height: 8 };
            await singer.look(white, 0);
            const { grid, teacher: { norms } } = await singer.maps({ layer: 1, quantile: 0.9, strength: 1 });
            const pixels = async (look) => {
                const canvas = new OffscreenCanvas(20, 20);
                await singer.draw("teacher", canvas, { kind: "norm", palette: "grey", upsampling: "nearest", range: null, ...look });
                const { data } = canvas.getContext("2d").getImageData(0, 0, 20, 20);
                const at = (patch) => 4 * (20 * (10 * Math.floor(patch / grid[1]) + 5) + 10 * (patch % grid[1]) + 5);
                return [norms.indexOf(Math.min(...norms)), norms.indexOf(Math.max(...norms))].map((patch) => [...data.slice(at(patch), at(patch) + 4)]);
            };
            drawn.push([await pixels({ opacity: 1 }), await pixels({ opacity: 0 }), await pixels({ opacity: 0.5 })]);
            singer.free();
        }
        return drawn;
    };
    const white = [255, 255, 255, 255];
    const wanted = [
        [[0, 0, 0, 255], white],
        [white, white],
        [[128, 128, 128, 255], white],
    ];
    assert.deepEqual(await inPage(t, work), [wanted, wanted]);
});

test("what cannot be done throws an error of one line", { timeout: PATIENCE }, async (t) => {
    const work = async (Singer, { teacher }) => {
        const said = [];
        const refused = async (action) => {
            try {
                await action();
                said.push("nothing was thrown");
            } catch (error) {
                said.push(error instanceof Error ? error.message : `no Error but ${error}`);
            }
        };
        await refused(() => Singer.open("quantum"));
        const singer = await Singer.open("cpu");
        const view = { layer: 0, quantile: 0.9, strength: 1 };
        const scene = singer.scene(0, 16);
        const look = { kind: "norm", palette: "grey", upsampling: "nearest", opacity: 1, range: null };
        const fit = { layers: [0], side: 0, rank: 4, quantile: 0.9, lr: 1e-3, steps: 1, outlier: 1, info: 1 };
        await refused(() => singer.look(scene, 0));
        await refused(() => singer.estimate([scene], { side: 0 }));
        await singer.loadTeacher("teacher", teacher, {});
        await refused(() => singer.maps(view));
        await singer.look(scene, 0);
        await refused(() => singer.draw("teacher", new OffscreenCanvas(4, 4), look));
        await refused(() => singer.maps({ ...view, layer: 2 }));
        await refused(() => singer.maps({ ...view, quantile: 2 }));
        await refused(() => singer.maps({ ...view, strength: Number.NaN }));
        await refused(() => singer.maps({ layer: "first" }));
        await singer.maps(view);
        await refused(() => singer.similarity(99));
        await refused(() => singer.draw("nobody", new OffscreenCanvas(4, 4), look));
        await refused(() => singer.draw("student", new OffscreenCanvas(4, 4), look));
        await refused(() => singer.draw("teacher", new OffscreenCanvas(0, 4), look));
        await refused(() => singer.draw("teacher", {}, look));
        await refused(() => singer.look(scene, 3));
        await refused(() => singer.look(scene, 4000));
        await refused(() => singer.look({ ...scene, width: 5 }, 0));
        await refused(() => singer.scene(0, 0));
        await refused(() => singer.fitStep());
        await refused(() => singer.adapters());
        await refused(() => Singer.palette("rainbow"));
        await refused(() => singer.estimate([], { side: 0 }));
        await refused(() => singer.estimate([scene], { images: 3 }));
        await refused(() => singer.estimate([{ ...scene, width: 5 }], { side: 0 }));
        await refused(() => singer.startFit([], fit));
        await refused(() => singer.startFit([scene], { ...fit, rank: 9 }));
        await refused(() => singer.startFit([scene], { ...fit, lr: 0 }));
        return said;
    };
    const wanted = [
        /open auto, webgpu or cpu/,
        /load a teacher first/,
        /load a teacher first/,
        /look at an image first/,
        /ask for maps first/,
        /no block 2; the teacher's are 0 to 1/,
        /quantile is 2/,
        /finite/,
        /view: /,
        /99/,
        /no panel nobody/,
        /no student features/,
        /cannot draw|no pixels/,
        /wants a canvas/,
        /leave no patch of 4x4/,
        /patches, more than 8192/,
        /not 5x16 pixels/,
        /not 0/,
        /no fit has begun/,
        /no adapters to save/,
        /palette: /,
        /0 images: give 1 to 256/,
        /settings: /,
        /not 5x16 pixels/,
        /0 images/,
        /rank/,
        /learning rate is 0/,
    ];
    const said = await inPage(t, work);
    assert.equal(said.length, wanted.length, said.join("\n"));
    said.forEach((message, at) => {
        assert.match(message, wanted[at]);
        assert.ok(!message.includes("\n") && message.length < 300, message);
    });
});

test("the README's example runs as it stands and finds the shipped teacher's artifacts", { timeout: PATIENCE }, async (t) => {
    const readme = readFileSync(new URL("../../web/package/README.md", import.meta.url), "utf8");
    const example = readme.match(/```js\n(.*?)```/s)[1];
    // As text: the page's policy allows no code that is made from strings, and no import map.
    const work = `async () => {
        document.body.prepend(document.createElement("canvas"));
        const said = [];
        const console = { log: (line) => said.push(line) };
        const { default: init, Singer } = await import(new URL("pkg/singer_web.js", document.baseURI).href);
        ${example.replace(/^import .*$/m, "").replace("demo-teacher.safetensors", "models/demo-teacher.safetensors")}
        return said;
    }`;
    const [line] = await inPage(t, work);
    assert.match(line, /10\.2 times the median norm/);
});
