"""Text by column name: which kind of text a name asks for, and a pool of such texts made by Faker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

POOL_SIZE = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of text. ``identity`` kinds never repeat, constraint or not: nobody shares an e-mail address."""

    name: str
    identity: bool = False


_RULES: tuple[tuple[str, Kind], ...] = (
    (r"e_?mail", Kind("email", True)),
    (r"user_?agent", Kind("user_agent")),
    (r"first_?name|given_?name|forename|middle_?name", Kind("first_name")),
    (r"last_?name|sur_?name|family_?name", Kind("last_name")),
    (r"full_?name|display_?name|real_?name|(customer|contact|author|employee|person)_?name", Kind("person")),
    (r"user_?name|login|nick|handle|screen_?name", Kind("user_name", True)),
    (r"phone|mobile|(^|_)(tel|fax|cell)($|_)", Kind("phone", True)),
    (r"(^|_)ip($|_)|ip_?addr|remote_?addr", Kind("ip")),
    (r"mac_?addr", Kind("mac", True)),
    (r"address|street", Kind("street")),
    (r"city|town|municipality", Kind("city")),
    (r"country_?code|(^|_)iso2?($|_)", Kind("country_code")),
    (r"country|nation", Kind("country")),
    (r"zip|postal|postcode|post_code", Kind("postcode")),
    (r"(^|_)(state|province|region)($|_)code", Kind("state_code")),
    (r"province|region", Kind("region")),
    (r"company|organi[sz]ation|vendor|supplier|manufacturer|brand", Kind("company")),
    (r"ur[li]s?($|_)|link|href|website|homepage|avatar|callback|endpoint|webhook|redirect", Kind("url", True)),
    (r"checksum|digest|fingerprint|signature|(^|_)(hash|sha\d*|md5|etag|salt)($|_)|_hash", Kind("hex", True)),
    (r"token|secret|nonce|password|passwd|challenge|session|verifier|api_?key|(^|_)jti($|_)", Kind("token", True)),
    (r"host|domain", Kind("host", True)),
    (r"mime|content_?type|media_?type", Kind("mime")),
    (r"locale|lang", Kind("language")),
    (r"currency", Kind("currency")),
    (r"time_?zone|(^|_)tz($|_)", Kind("time_zone")),
    (r"colou?r", Kind("color")),
    (r"(^|_)sku($|_)|barcode|isbn|serial_?n|(^|_)(upc|ean|vin)($|_)", Kind("sku", True)),
    (r"(order|invoice|tracking|reference|account|card|customer)_?(number|no|ref)", Kind("number", True)),
    (r"(^|_)(iban|reference)($|_)", Kind("number", True)),
    (r"gender|(^|_)sex($|_)", Kind("gender")),
    (r"status|(^|_)state($|_)|phase|stage", Kind("status")),
    (r"(^|_)(type|kind|category|level|role|mode|method|class|channel)($|_)", Kind("category")),
    (r"(^|_)(provider|source|action|event)($|_)", Kind("category")),
    (r"version", Kind("version")),
    (r"path|file|dir|folder|slug|code|identifier|(^|_)(key|uid|uuid|ref|id)($|_)", Kind("slug", True)),
    (r"descr|comment|note|body|message|content|summary|bio|about", Kind("sentence")),
    (r"reason|detail|error|log|feedback|review", Kind("sentence")),
    (r"product|item_?name", Kind("product")),
    (r"title|subject|headline|label|caption", Kind("title")),
    (r"scopes?($|_)", Kind("scope")),
    (r"job|position|occupation|profession", Kind("job")),
    (r"name", Kind("name")),
    (r"tags?($|_)|keyword", Kind("word")),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), kind) for pattern, kind in _RULES)
_WORD = Kind("word")

_PEOPLE = re.compile(
    r"user|customer|person|people|member|employee|author|contact|client|account|profile|patient|student"
)
_THINGS = re.compile(r"product|item|article|good|catalog|inventor")


@lru_cache(maxsize=4096)
def kind_of(column: str, table: str) -> Kind:
    """The kind of text a column of this name holds; a plain ``name`` depends on what the table is about."""
    lowered = column.lower()
    kind = next((kind for pattern, kind in _COMPILED if pattern.search(lowered)), _WORD)
    if kind.name != "name":
        return kind
    if _THINGS.search(table.lower()):
        return Kind("product")
    return Kind("person") if _PEOPLE.search(table.lower()) else Kind("company")


@lru_cache(maxsize=256)
def pool(kind: str, seed: int) -> tuple[str, ...]:
    """Up to POOL_SIZE different texts of a kind, the same ones for the same seed and Faker version."""
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed
    faker = _faker()
    faker.seed_instance(f"{seed}/{kind}")
    make = _makers(faker)[kind]
    found: dict[str, None] = {}
    for _ in range(POOL_SIZE * 4):
        found[make().replace("\n", ", ")] = None
        if len(found) == POOL_SIZE:
            break
    return tuple(found)


_FIXED: dict[str, tuple[str, ...]] = {
    "status": ("active", "pending", "completed", "cancelled", "archived"),
    "category": ("standard", "premium", "basic", "internal", "external", "custom"),
    "gender": ("female", "male", "other"),
    "currency": ("EUR", "USD", "GBP", "JPY", "CHF", "SEK"),
    "language": ("en", "de", "fr", "pt", "ja", "es"),
    "time_zone": ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Nairobi"),
    "mime": ("text/plain", "application/json", "image/png", "application/pdf"),
    "scope": ("openid profile", "openid email", "read", "read write", "openid profile email groups"),
}


@lru_cache(maxsize=1)
def _faker() -> Faker:
    return Faker("en_US", use_weighting=False)


def _makers(faker: Faker) -> dict[str, Callable[[], str]]:
    def slug() -> str:
        return f"{faker.word()}-{faker.word()}"

    return {
        "email": lambda: f"{faker.first_name()}.{faker.last_name()}@example.com".lower(),
        "user_agent": faker.chrome,
        "first_name": faker.first_name,
        "last_name": faker.last_name,
        "person": lambda: f"{faker.first_name()} {faker.last_name()}",
        "user_name": lambda: f"{faker.first_name()}_{faker.last_name()}".lower(),
        "phone": lambda: faker.numerify("+1202555%###"),
        "ip": lambda: faker.numerify("198.51.100.%#"),
        "mac": faker.mac_address,
        "street": faker.street_address,
        "city": faker.city,
        "country_code": faker.country_code,
        "country": faker.country,
        "postcode": faker.postcode,
        "state_code": faker.state_abbr,
        "region": faker.state,
        "company": faker.company,
        "url": lambda: f"https://{faker.word()}.example.com/{slug()}",
        "hex": faker.sha256,
        "token": lambda: faker.sha256()[:40],
        "host": lambda: f"{slug()}.example.com",
        "color": faker.hex_color,
        "sku": lambda: faker.bothify("???-####").upper(),
        "number": lambda: faker.numerify("2024-######"),
        "version": lambda: faker.numerify("%.#.#"),
        "slug": slug,
        "sentence": lambda: faker.sentence(7),
        "product": lambda: (
            f"{faker.random_element(_LOOKS)} {faker.random_element(_STUFF)} {faker.random_element(_GOODS)}"
        ),
        "title": lambda: faker.sentence(4)[:-1],
        "job": faker.job,
        "word": faker.word,
    }


_LOOKS = ("Compact", "Classic", "Modern", "Portable", "Premium", "Rustic", "Slim", "Smart", "Sturdy", "Vintage")
_STUFF = ("Aluminium", "Bamboo", "Canvas", "Cotton", "Granite", "Leather", "Oak", "Steel", "Wool")
_GOODS = ("Lamp", "Chair", "Backpack", "Keyboard", "Mug", "Notebook", "Jacket", "Camera", "Bicycle", "Speaker")
