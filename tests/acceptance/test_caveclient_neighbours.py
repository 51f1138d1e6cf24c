"""An unmodified CAVEclient and the services beside materialization: every method of each."""

from collections.abc import Iterator

import pytest
from served import Served, run_client, served


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), server_url) as running:
        yield running


INFO = """
i = client.info
tell({
    "datastacks": i.get_datastacks(),
    "info": i.get_datastack_info(),
    "aligned_volumes": i.get_aligned_volumes(),
    "volume": i.get_aligned_volume_info(),
    "by_id": i.get_aligned_volume_info_by_id(),
    "siblings": i.get_datastacks_by_aligned_volume(),
    "local_server": i.local_server(),
    "annotation_endpoint": i.annotation_endpoint(),
    "image_source": i.image_source(),
    "mirrors": i.get_image_mirrors(),
    "mirror_names": i.get_image_mirror_names(),
    "synapse_segmentation_source": i.synapse_segmentation_source(),
    "segmentation_source": i.segmentation_source(),
    "resolution": i.viewer_resolution(),
    "site": i.viewer_site(),
    "versions": [str(i.server_version), str(client.state.server_version)],
    "schema_version": client.schema.api_version,
})
"""


def test_info(server: Served) -> None:
    told = run_client(server, INFO)
    assert server.datastack in told["datastacks"]
    assert server.aligned_volume in told["aligned_volumes"]
    assert told["siblings"] == [server.datastack]
    assert told["local_server"] == server.url
    source = f"graphene://{server.url}/segmentation/table/{server.segmentation}"
    assert told["segmentation_source"] == source
    assert told["by_id"] == told["volume"] == told["info"]["aligned_volume"]
    assert told["volume"]["name"] == server.aligned_volume
    assert told["info"]["synapse_table"] == "synapses"
    assert told["resolution"] == [32.0, 32.0, 40.0]
    assert told["versions"] == ["4.3.3", "0.4.1"]
    assert told["schema_version"] == 2
