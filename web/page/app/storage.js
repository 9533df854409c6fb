/** Models that the user brought, kept in this browser's cache storage. */

const CACHE = "singer-models";
const place = (role, name, what) => new URL(`stored/${role}/${encodeURIComponent(name)}/${what}`, document.baseURI).href;

/**
 * @typedef {{role: string, name: string, bytes: ArrayBuffer, configs: Record<string, string>, licence?: string}} StoredModel
 */

/** What is kept of a model. */
const PARTS = ["weights", "configs", "licence"];

/** Keeps a model; says whether the browser had room for it. */
export async function store({ role, name, bytes, configs, licence = "" }) {
    try {
        const cache = await caches.open(CACHE);
        const headers = { "content-length": String(bytes.byteLength) };
        await cache.put(place(role, name, "weights"), new Response(bytes, { headers }));
        await cache.put(place(role, name, "configs"), Response.json(configs));
        await cache.put(place(role, name, "licence"), new Response(licence));
        return true;
    } catch {
        return false;
    }
}

/** Role, name and size in bytes of each. */
export async function list() {
    try {
        const cache = await caches.open(CACHE);
        const found = [];
        for (const request of await cache.keys()) {
            const [role, name, what] = new URL(request.url).pathname.split("/").slice(-3);
            if (what === "weights") {
                const kept = await cache.match(request);
                const size = Number(kept.headers.get("content-length"));
                found.push({ role, name: decodeURIComponent(name), size });
            }
        }
        return found;
    } catch {
        return [];
    }
}

/** @returns {Promise<StoredModel>} */
export async function load(role, name) {
    const cache = await caches.open(CACHE);
    const [weights, configs, licence] = await Promise.all(PARTS.map((what) => cache.match(place(role, name, what))));
    if (!weights) {
        throw new Error(`${name} is not kept any more`);
    }
    return {
        role,
        name,
        bytes: await weights.arrayBuffer(),
        configs: (await configs?.json()) ?? {},
        licence: (await licence?.text()) ?? "",
    };
}

export async function remove(role, name) {
    const cache = await caches.open(CACHE);
    await Promise.all(PARTS.map((what) => cache.delete(place(role, name, what))));
}
