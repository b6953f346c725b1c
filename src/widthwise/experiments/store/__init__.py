"""The store of a study: nothing that was computed is lost, and nothing half written is believed."""

from widthwise.experiments.store.errors import DamagedBlock as DamagedBlock
from widthwise.experiments.store.errors import StoreError as StoreError
from widthwise.experiments.store.provenance import arithmetic as arithmetic
from widthwise.experiments.store.provenance import provenance as provenance
from widthwise.experiments.store.store import Store as Store
