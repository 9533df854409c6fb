// A static server for the page, under a sub-path as on a project's own site.
import { createReadStream, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
};
const BASE = "/demo/";

/**
 * Serves a folder; `patches` are texts put before files, by path.
 *
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve(folder, patches = {}) {
    const server = createServer(async (request, response) => {
        const { pathname } = new URL(request.url, "http://localhost");
        const path = normalize(pathname.slice(BASE.length) || "index.html");
        const file = join(folder, path);
        const there = pathname.startsWith(BASE) && statSync(file, { throwIfNoEntry: false })?.isFile();
        if (!there) {
            response.writeHead(404).end();
            return;
        }
        response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
        if (patches[path]) {
            response.end(patches[path] + (await readFile(file, "utf8")));
        } else {
            createReadStream(file).pipe(response);
        }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        // A name that browsers count as secure.
        url: `http://localhost:${server.address().port}${BASE}`,
        close: () => new Promise((resolve) => server.close(resolve)),
    };
}
