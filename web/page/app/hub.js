/**
 * Models of the hub, fetched in pieces that are kept until the whole is there: a download
 * that breaks off goes on where it stopped. Nothing is sent but the names of the files.
 */

const HUB = "https://huggingface.co";
const PREFIX = "hf-hub:";
const CACHE = "singer-downloads";
/** Bytes of a piece. */
const PIECE = 8 << 20;
/** The most bytes of a file that WebAssembly can load. */
const MOST_BYTES = 2_000_000_000;
/** Attempts at a piece, and milliseconds before the second of them. */
const [ATTEMPTS, PAUSE] = [4, 400];
/** Names of weights, in order of preference. */
const WEIGHTS = ["model.safetensors", "open_clip_model.safetensors"];
const CONFIGS = ["config.json", "preprocessor_config.json", "open_clip_config.json"];

/**
 * @typedef {{model: string, revision: string, file: string | null, name: string}} Reference
 * @typedef {{name: string, bytes: ArrayBuffer, configs: Record<string, string>, licence: string}} HubModel
 */

/** Whether a model's name is one of the hub's. */
export const isHub = (name) => name?.startsWith(PREFIX) ?? false;

/** Where people read about a model. */
export const pageOf = (name) => `${HUB}/${parse(name).model}`;

/**
 * Reads `[hf-hub:]OWNER/NAME[/FILE][@REVISION]`, or the address of a model's page.
 *
 * @returns {Reference}
 */
export function parse(text) {
    const given = text.trim().replace(`${HUB}/`, "").replace(PREFIX, "");
    const [path, revision = "main", ...more] = given.split("@");
    const parts = path.split("/");
    const [owner, model, ...inside] = parts;
    const plain = (part) => /^[\w.-]+$/.test(part ?? "") && !part.includes("..");
    if (more.length > 0 || ![owner, model, ...inside, ...revision.split("/")].every(plain)) {
        throw new Error(`“${text}” names no model of the hub: write OWNER/NAME, as in timm/vit_small_patch14_dinov2.lvd142m`);
    }
    return { model: `${owner}/${model}`, revision, file: inside.join("/") || null, name: PREFIX + given };
}

/**
 * Downloads a model.
 *
 * @param {string} text as `parse` takes it
 * @param {(done: number, size: number) => void} onProgress in bytes
 * @param {AbortSignal} signal ends it; what is there is kept
 * @returns {Promise<HubModel>}
 */
export async function download(text, onProgress, signal) {
    const reference = parse(text);
    const { model, revision, name } = reference;
    const about = await asked(`${HUB}/api/models/${model}/revision/${encodeURIComponent(revision)}?blobs=true`, reference, signal);
    const { sha, siblings = [], cardData, tags = [] } = await about.json();
    if (!/^[0-9a-f]+$/.test(sha ?? "")) {
        throw new Error(`${name}: the hub's answer states no commit`);
    }
    const files = new Map(siblings.map((file) => [file.rfilename, file]));
    const file = files.get(weightsOf(reference, [...files.keys()]));
    const size = file.size ?? file.lfs?.size;
    if (!Number.isSafeInteger(size)) {
        throw new Error(`${name}: the hub does not say how large ${file.rfilename} is`);
    }
    if (size > MOST_BYTES) {
        throw new Error(`${name} has ${megabytes(size)} MB; a page can load ${megabytes(MOST_BYTES)} MB: use the program for this one`);
    }
    const at = (file) => `${HUB}/${model}/resolve/${sha}/${file}`;
    const configs = {};
    for (const config of CONFIGS.filter((config) => files.has(config))) {
        configs[config] = await (await asked(at(config), reference, signal)).text();
    }
    const bytes = await pieces(at(file.rfilename), size, name, onProgress, signal);
    const sum = file.lfs?.sha256;
    const wrong = sum && sum !== (await sha256(bytes));
    // Whole: it is kept as a model from now on. Wrong: another attempt must begin anew.
    await forget(() => true);
    if (wrong) {
        throw new Error(`${name}: what arrived is not what the hub states (SHA-256): load it again`);
    }
    const tagged = tags.find((tag) => tag.startsWith("license:"))?.slice("license:".length);
    const stated = cardData?.license === "other" ? (cardData.license_name ?? "other") : (cardData?.license ?? tagged);
    return { name, bytes, configs, licence: typeof stated === "string" ? stated : "" };
}

/** The file of a model's weights. */
function weightsOf({ file, name }, names) {
    const found = names.filter((name) => name.endsWith(".safetensors"));
    const known = WEIGHTS.find((weights) => names.includes(weights));
    const several = found.length > 1 ? `: name one, ${name}/FILE, of ${found.join(", ")}` : "";
    if (file !== null) {
        if (!names.includes(file) || !file.endsWith(".safetensors")) {
            throw new Error(`${name}: there is no such .safetensors file${several}`);
        }
        return file;
    }
    if (names.some((name) => name.endsWith(".safetensors.index.json")) && !known) {
        throw new Error(`${name}: its weights are in several files, which the page does not read: \`singer export ${name} --to timm --out DIR\` makes one`);
    }
    if (!known && found.length !== 1) {
        const export_ = `: \`singer export ${name} --to timm --out DIR\` makes one of PyTorch's weights`;
        throw new Error(`${name}: it has no model.safetensors${several || export_}`);
    }
    return known ?? found[0];
}

/** An answer of the hub, or an error that says what to do. */
async function asked(url, { name }, signal) {
    const answer = await fetch(url, { signal }).catch((error) => {
        signal.throwIfAborted();
        throw new Error(`${name}: the hub cannot be reached (${error.message})`);
    });
    if ([401, 403].includes(answer.status)) {
        throw new Error(`${name}: there is no such model, or its owner asks for a licence to be accepted first: then download it from its page and open the file here`);
    }
    if (!answer.ok) {
        throw new Error(`${name}: ${answer.status === 404 ? "there is no such model or revision" : `the hub answered ${answer.status}`}`);
    }
    return answer;
}

/** A file, piece after piece; those of an earlier attempt are not fetched again. */
async function pieces(url, size, name, onProgress, signal) {
    const cache = await caches.open(CACHE).catch(() => null);
    const key = (from) => new Request(`${url}?from=${from}`);
    // Of another model or commit: nobody goes on with it.
    await forget((kept) => !kept.startsWith(`${url}?`));
    const bytes = new Uint8Array(size);
    for (let from = 0; from < size; from += PIECE) {
        const to = Math.min(from + PIECE, size);
        const kept = new Uint8Array((await (await cache?.match(key(from)))?.arrayBuffer()) ?? 0);
        const tell = (done) => onProgress(from + done, size);
        const piece = kept.length === to - from ? kept : await fetchPiece(url, from, to, tell, signal).catch((error) => {
            signal.throwIfAborted();
            const rest = cache ? "; they are kept, and loading it again goes on with them" : "";
            throw new Error(`${name}: ${error.message} after ${megabytes(from)} of ${megabytes(size)} MB${rest}`);
        });
        bytes.set(piece, from);
        tell(piece.length);
        if (piece !== kept) {
            // A browser without room downloads all the same.
            await cache?.put(key(from), new Response(piece)).catch(() => {});
        }
    }
    return bytes.buffer;
}

/** Bytes from `from` to before `to`. */
async function fetchPiece(url, from, to, onDone, signal) {
    for (let attempt = 1; ; attempt += 1) {
        try {
            return await attemptPiece(url, from, to, onDone, signal);
        } catch (error) {
            if (signal.aborted || attempt === ATTEMPTS) {
                throw error;
            }
            await new Promise((resolve) => setTimeout(resolve, PAUSE << attempt));
        }
    }
}

async function attemptPiece(url, from, to, onDone, signal) {
    const answer = await fetch(url, { headers: { range: `bytes=${from}-${to - 1}` }, signal });
    if (answer.status !== 206 && !(answer.ok && from === 0)) {
        throw new Error(`the hub answered ${answer.status}`);
    }
    const piece = new Uint8Array(to - from);
    let done = 0;
    // A server that ignores ranges sends the whole file, of which this is the start.
    const reader = answer.body.getReader();
    while (done < piece.length) {
        const { value } = await reader.read();
        if (!value) {
            throw new Error("the connection broke off");
        }
        const part = value.subarray(0, piece.length - done);
        piece.set(part, done);
        done += part.length;
        onDone(done);
    }
    reader.cancel().catch(() => {});
    return piece;
}

/** Removes pieces by their address. */
async function forget(which) {
    try {
        const cache = await caches.open(CACHE);
        const old = (await cache.keys()).filter(({ url }) => which(url));
        await Promise.all(old.map((request) => cache.delete(request)));
    } catch {
        // A browser without a cache has kept none.
    }
}

async function sha256(bytes) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const megabytes = (bytes) => Math.round(bytes / 1e6);
