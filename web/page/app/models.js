/** Which models the engine holds: the shipped ones, and the user's files. */

import { byId, element } from "./dom.js";
import { isHub, pageOf } from "./hub.js";
import { describe } from "./refinement.js";
import * as storage from "./storage.js";

const ROLES = ["teacher", "student", "adapters"];
/** Stands for the name of a student that no file holds. */
const LEARNT = Symbol("learnt here");

/** What each part of the present set was loaded from, to load it again. */
export class Models {
    #engine;
    /** @type {{title: string, teacher: string, student?: string, adapters?: string}[]} */
    #shipped = [];
    /** How to get each role's present file. @type {Map<string, () => Promise<storage.StoredModel>>} */
    #sources = new Map();
    #info = new Map();
    #adapters = null;
    /** Names of the user's own files that are in use, by role. */
    #own = new Map();
    #title = "";
    #licence = "";

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

    /** The teacher's name: the shipped set's, or the file's. */
    get name() {
        return this.ownTeacher ?? this.#title;
    }

    /** Name of the teacher's file, where it is the user's own. */
    get ownTeacher() {
        return this.#own.get("teacher") ?? null;
    }

    /** Loads a shipped set. */
    async loadShipped(index) {
        const set = this.#shipped[index];
        this.#sources.clear();
        for (const role of ROLES.filter((role) => set[role])) {
            await this.load(role, () => fetched(role, set[role]));
        }
        this.#title = set.title;
        this.#own.clear();
        this.#describe();
    }

    /** Loads a file of the user's and keeps it for next time; says whether there was room. */
    async loadFile(role, file, configs) {
        const get = async () => ({ role, name: file.name, bytes: await file.arrayBuffer(), configs });
        await this.#loadOwn(role, file.name, get);
        return this.#keep(await get());
    }

    /**
     * Loads what the hub gave and keeps it for next time; says whether there was room.
     *
     * @param {import("./hub.js").HubModel} model
     */
    async loadDownloaded(role, model) {
        // Before it is loaded: where that fails, for lack of memory or another reason, nobody downloads it twice.
        const kept = await this.#keep({ ...model, role });
        // The engine takes the buffer that it is given.
        const get = async () => (kept ? storage.load(role, model.name) : { ...model, role, bytes: model.bytes.slice(0) });
        await this.#loadOwn(role, model.name, get);
        return kept;
    }

    async loadStored(role, name) {
        await this.#loadOwn(role, name, () => storage.load(role, name));
    }

    /** The student that is shown learns in the page. */
    setLearnt(info) {
        this.#info.set("student", info);
        this.#sources.delete("student");
        this.#own.set("student", LEARNT);
        byId("save-student").disabled = false;
        this.#describe();
    }

    /** The engine has dropped it with its teacher. */
    #forgetLearnt() {
        if (this.#own.get("student") === LEARNT) {
            this.#own.delete("student");
        }
        byId("save-student").disabled = true;
        byId("learnt").textContent = "";
    }

    async #keep(model) {
        const kept = await storage.store(model);
        await this.showStored();
        return kept;
    }

    async #loadOwn(role, name, get) {
        await this.load(role, get);
        if (role === "teacher") {
            this.#own.clear();
        }
        this.#own.set(role, name);
        this.#describe();
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

    get hasLoadedAdapters() {
        return this.#sources.has("adapters");
    }

    /** @param {() => Promise<storage.StoredModel>} get */
    async load(role, get) {
        const { name, bytes, configs, licence } = await get();
        const storage = { half: this.half };
        if (role === "teacher") {
            const info = await this.#engine.loadTeacher(name, bytes, configs, storage);
            this.#sources.clear();
            this.#info.clear();
            this.#licence = licence ?? "";
            this.#forgetLearnt();
            this.adapters = null;
            this.#info.set(role, info);
        } else if (role === "student") {
            this.#info.set(role, await this.#engine.loadStudent(name, bytes, configs, storage));
        } else {
            this.adapters = await this.#engine.loadAdapters(name, bytes);
        }
        this.#sources.set(role, get);
        describe(this.#adapters, this.hasLoadedAdapters);
        this.#describe();
    }

    /** What refines the teacher: the blocks, the highest rank, and whether it is a closed form. */
    get adapters() {
        return this.#adapters;
    }

    set adapters(adapters) {
        this.#adapters = adapters;
        describe(adapters, this.hasLoadedAdapters);
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
        const model = ({ arch, depth, width, patch, size, parameters, half }) =>
            `${arch}, ${millions(parameters)}${half ? " in half precision" : ""}, ${depth} blocks of width ${width}, patches of ${patch} px, ${size[1]}×${size[0]} px`;
        const lines = [`Teacher: ${model(this.teacher)}.`];
        if (this.student) {
            lines.push(`Student: ${model(this.student)}.`);
        }
        const assumed = [this.teacher, this.student].flatMap((info) => info?.assumed ?? []);
        byId("model-info").textContent = [...lines, ...assumed.map((line) => `Assumed: ${line}.`)].join(" ");
        const select = byId("models");
        select.querySelector("[value=own]")?.remove();
        if (this.ownTeacher !== null) {
            select.append(element("option", { value: "own" }, this.ownTeacher));
            select.value = "own";
        }
        const others = [...this.#own].filter(([role]) => role !== "teacher").map(([role, name]) => (name === LEARNT ? "; the student that is shown learnt here" : `, ${role} ${name}`));
        byId("model-name").replaceChildren(`Teacher: ${this.name}${others.join("")}`, ...this.#terms());
        byId("shipped").hidden = this.#own.size === 0;
    }

    /** The licence of a model of the hub, and where it stands. */
    #terms() {
        if (!isHub(this.ownTeacher)) {
            return [];
        }
        const page = { href: pageOf(this.ownTeacher), target: "_blank", rel: "noreferrer" };
        return [" · ", element("a", page, this.#licence ? `licence: ${this.#licence}` : "its page states no licence")];
    }
}

async function fetched(role, path) {
    const answer = await fetch(path);
    if (!answer.ok) {
        throw new Error(`${path} could not be loaded (${answer.status})`);
    }
    return { role, name: path.split("/").pop(), bytes: await answer.arrayBuffer(), configs: {} };
}
