/** Which models the engine holds: the shipped ones, and the user's files. */

import { byId, element } from "./dom.js";
import { describe } from "./refinement.js";
import * as storage from "./storage.js";

const ROLES = ["teacher", "student", "adapters"];

/** What each part of the present set was loaded from, to load it again. */
export class Models {
    #engine;
    /** @type {{title: string, teacher: string, student?: string, adapters?: string}[]} */
    #shipped = [];
    /** How to get each role's present file. @type {Map<string, () => Promise<storage.StoredModel>>} */
    #sources = new Map();
    #info = new Map();
    #adapters = null;

    /** Whether models that are loaded from now on are kept in half precision. */
    half = false;

    /** Uses an engine from now on. */
    use(engine) {
        this.#engine = engine;
    }

    /** Reads the list of shipped models. */
    async list() {
        const answer = await fetch("models/models.json");
        if (!answer.ok) {
            throw new Error(`the list of shipped models could not be loaded (${answer.status})`);
        }
        this.#shipped = (await answer.json()).models;
        const options = this.#shipped.map(({ title }, value) => element("option", { value }, title));
        byId("models").replaceChildren(...options);
    }

    /** Loads a shipped set. */
    async loadShipped(index) {
        const set = this.#shipped[index];
        this.#sources.clear();
        for (const role of ROLES.filter((role) => set[role])) {
            await this.load(role, () => fetched(role, set[role]));
        }
    }

    /** Loads a file of the user's and keeps it for next time. */
    async loadFile(role, file, configs) {
        const get = async () => ({ role, name: file.name, bytes: await file.arrayBuffer(), configs });
        await this.load(role, get);
        const kept = await storage.store(await get());
        await this.showStored();
        return kept;
    }

    async loadStored(role, name) {
        await this.load(role, () => storage.load(role, name));
    }

    /** Loads everything again, into an engine that is new. */
    async reload() {
        for (const [role, get] of [...this.#sources]) {
            await this.load(role, get);
        }
    }

    /** Back to the adapters that were loaded last, where there are some. */
    async resetAdapters() {
        const get = this.#sources.get("adapters");
        if (!get) {
            throw new Error("no adapters were loaded for this teacher");
        }
        await this.load("adapters", get);
    }

    /** @param {() => Promise<storage.StoredModel>} get */
    async load(role, get) {
        const { name, bytes, configs } = await get();
        const storage = { half: this.half };
        if (role === "teacher") {
            const info = await this.#engine.loadTeacher(name, bytes, configs, storage);
            this.#sources.clear();
            this.#info.clear();
            this.adapters = null;
            this.#info.set(role, info);
        } else if (role === "student") {
            this.#info.set(role, await this.#engine.loadStudent(name, bytes, configs, storage));
        } else {
            this.adapters = await this.#engine.loadAdapters(name, bytes);
        }
        this.#sources.set(role, get);
        this.#describe();
    }

    /** What refines the teacher: the blocks, the highest rank, and whether it is a closed form. */
    get adapters() {
        return this.#adapters;
    }

    set adapters(adapters) {
        this.#adapters = adapters;
        describe(adapters);
    }

    /** The teacher's blocks that have an adapter. */
    get layers() {
        return this.#adapters?.layers ?? [];
    }

    get teacher() {
        return this.#info.get("teacher");
    }

    get student() {
        return this.#info.get("student");
    }

    /** Shows what is kept in this browser, with buttons. */
    async showStored() {
        const kept = await storage.list();
        const act = (words, action, role, name) =>
            element("button", {
                type: "button",
                textContent: words,
                ariaLabel: `${words} ${name}`,
                onclick: () => byId("stored").dispatchEvent(new CustomEvent(action, { detail: { role, name } })),
            });
        const rows = kept.map(({ role, name, size }) =>
            element(
                "li",
                {},
                element("span", {}, `${name} (${role}, ${(size / 1e6).toFixed(1)} MB)`),
                act("Load", "load-model", role, name),
                act("Remove", "remove-model", role, name),
            ),
        );
        byId("stored").replaceChildren(...rows);
    }

    #describe() {
        const millions = (count) => `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} M parameters`;
        const model = ({ arch, depth, width, patch, size, parameters, naming, half }) =>
            `${arch}, ${millions(parameters)}${half ? " in half precision" : ""}, ${depth} blocks of width ${width}, patches of ${patch} px, ${size[1]}×${size[0]} px, names of ${naming}`;
        const lines = [`Teacher: ${model(this.teacher)}.`];
        if (this.student) {
            lines.push(`Student: ${model(this.student)}.`);
        }
        const assumed = [this.teacher, this.student].flatMap((info) => info?.assumed ?? []);
        byId("model-info").textContent = [...lines, ...assumed.map((line) => `Assumed: ${line}.`)].join(" ");
    }
}

async function fetched(role, path) {
    const answer = await fetch(path);
    if (!answer.ok) {
        throw new Error(`${path} could not be loaded (${answer.status})`);
    }
    return { role, name: path.split("/").pop(), bytes: await answer.arrayBuffer(), configs: {} };
}
