// A model hub in the tests' own process, which answers in place of the real one.
import { createHash } from "node:crypto";

export const HUB = "https://huggingface.co/";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** One public model, `acme/tiny`, of one file of weights unless told otherwise. */
export class Hub {
    /** Paths that were asked for; of weights with their range. */
    asked = [];
    /** Answers that are tampered with: gives a status, or null for the usual answer. */
    fault = () => null;

    constructor(files, { licence = "apache-2.0", sha256, size } = {}) {
        this.files = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes)]));
        this.licence = licence;
        this.stated = { sha256, size };
    }

    async answer(context) {
        await context.route(`${HUB}**`, (route) => this.#answer(route));
    }

    async #answer(route) {
        const request = route.request();
        const { pathname } = new URL(request.url());
        const range = request.headers().range;
        const what = range ? `${pathname.split("/").pop()} ${range}` : pathname;
        this.asked.push(what);
        const fault = await this.fault(what);
        if (fault === "lost") {
            await route.abort("connectionreset");
            return;
        }
        const [status, body, headers] = fault ? [fault, "", {}] : this.#found(pathname, range);
        await route.fulfill({ status, body, headers: { "access-control-allow-origin": "*", ...headers } }).catch(() => {
            // The page stopped asking.
        });
    }

    #found(pathname, range) {
        if (pathname === "/api/models/acme/tiny/revision/main") {
            return [200, JSON.stringify(this.#about()), { "content-type": "application/json" }];
        }
        const file = this.files[pathname.replace(`/acme/tiny/resolve/${COMMIT}/`, "")];
        if (!file) {
            return [pathname.startsWith("/acme/tiny") || pathname.startsWith("/api/models/acme/tiny/") ? 404 : 401, "", {}];
        }
        const asked = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
        return asked ? [206, file.subarray(Number(asked[1]), Number(asked[2]) + 1), {}] : [200, file, {}];
    }

    #about() {
        const siblings = Object.entries(this.files).map(([rfilename, bytes]) => {
            const size = this.stated.size ?? bytes.length;
            const sha256 = this.stated.sha256 ?? createHash("sha256").update(bytes).digest("hex");
            return rfilename.endsWith(".json") ? { rfilename, size } : { rfilename, size, lfs: { sha256, size } };
        });
        return { id: "acme/tiny", sha: COMMIT, cardData: this.licence && { license: this.licence }, siblings };
    }
}
