"""A server that speaks as much of S3 as a workdir needs, in memory, on a port of this machine.

It answers as Amazon documents GetObject, HeadObject, PutObject, DeleteObject(s), ListObjectsV2 and
multipart uploads, and can be told to refuse. Signatures are not checked.
"""

import contextlib
import datetime
import hashlib
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape, unescape

BUCKET, KEY = "bucket", "right"


class Store:
    """The objects of one bucket, and what is done about requests.

    Attributes:
      objects: Key -> bytes and the time of writing.
      written: Keys in the order in which they were written or deleted.
      refuses: Called with method and key before each request; an error code to answer with.
    """

    def __init__(self):
        self.objects, self.parts, self.written = {}, {}, []
        self.lock = threading.Lock()
        self.refuses = lambda method, key: None

    def put(self, key, data):
        with self.lock:
            self.objects[key] = data, datetime.datetime.now(datetime.UTC)
            self.written.append(key)

    def delete(self, key):
        with self.lock:
            self.objects.pop(key, None)
            self.written.append(f"-{key}")

    def below(self, prefix):
        """Objects below a prefix, without it."""
        with self.lock:
            return {
                k.removeprefix(prefix): v[0]
                for k, v in self.objects.items()
                if k.startswith(prefix)
            }


def handler_of(store):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, code, body=b"", **headers):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def told(self, what, xml):
            self.answer(200, f"<{what}>{xml}</{what}>".encode(), Content_Type="application/xml")

        def error(self, status, code):
            xml = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            self.answer(status, xml.encode(), Content_Type="application/xml")

        def handle_one(self):
            url = urllib.parse.urlsplit(self.path)
            bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            body = self.body()
            if bucket != BUCKET:
                return self.error(404, "NoSuchBucket")
            if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
                return self.error(403, "InvalidAccessKeyId")
            if code := store.refuses(self.command, key):
                return self.error(503 if code == "SlowDown" else 403, code)
            getattr(self, f"do_{self.command.lower()}_of")(key, query, body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815

        def body(self):
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def do_get_of(self, key, query, _):
            if not key:
                return self.listed(query)
            if key not in store.objects:
                return self.error(404, "NoSuchKey")
            data, when = store.objects[key]
            about = {"ETag": tag(data), "Last_Modified": when.strftime("%a, %d %b %Y %H:%M:%S GMT")}
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if span is None:
                return self.answer(200, data, **about)
            first, last = int(span[1]), min(int(span[2] or len(data) - 1), len(data) - 1)
            about["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
            return self.answer(206, data[first : last + 1], **about)

        do_head_of = do_get_of

        def do_put_of(self, key, query, body):
            if "partNumber" in query:
                store.parts[query["uploadId"]][int(query["partNumber"])] = body
            else:
                store.put(key, body)
            self.answer(200, ETag=tag(body))

        def do_post_of(self, key, query, body):
            if "delete" in query:
                names = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for name in names:
                    store.delete(unescape(name))
                done = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
                return self.told("DeleteResult", done)
            if "uploads" in query:
                name = f"upload-{len(store.parts)}"
                store.parts[name] = {}
                xml = (
                    f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
                )
                return self.told("InitiateMultipartUploadResult", xml)
            parts = store.parts.pop(query["uploadId"])
            data = b"".join(part for _, part in sorted(parts.items()))
            store.put(key, data)
            return self.told("CompleteMultipartUploadResult", f"<ETag>{escape(tag(data))}</ETag>")

        def do_delete_of(self, key, query, _):
            if "uploadId" in query:
                store.parts.pop(query["uploadId"], None)
            else:
                store.delete(key)
            self.answer(204)

        def listed(self, query):
            """ListObjectsV2, in pages of 7."""
            prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
            keys, folders = [], set()
            with store.lock:
                found = {k: v for k, v in sorted(store.objects.items()) if k.startswith(prefix)}
            for key in found:
                rest = key.removeprefix(prefix)
                if delimiter and delimiter in rest:
                    folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                elif key > query.get("continuation-token", ""):
                    keys.append(key)
            page, more = keys[:7], len(keys) > 7
            xml = "".join(contents(key, *found[key]) for key in page)
            if "continuation-token" not in query:
                xml += "".join(
                    f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>"
                    for f in sorted(folders)
                )
            if more:
                xml += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            xml = f"<IsTruncated>{str(more).lower()}</IsTruncated>{xml}"
            self.told("ListBucketResult", xml)

    return Handler


def contents(key, data, when):
    return (
        f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>{escape(tag(data))}</ETag>"
        f"<LastModified>{when.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}</LastModified></Contents>"
    )


def tag(data):
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@contextlib.contextmanager
def serving():
    """A store and the address of its server."""
    store = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(store))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
