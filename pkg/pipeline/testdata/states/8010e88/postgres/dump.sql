--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: ampipe; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA ampipe;


--
-- Name: earlier; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA earlier;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: coverage; Type: TABLE; Schema: ampipe; Owner: -
--

CREATE TABLE ampipe.coverage (
    table_id integer NOT NULL,
    blocks int8range NOT NULL,
    parts int4range DEFAULT '[0,2147483647)'::int4range NOT NULL,
    batch text,
    parts_of integer,
    CONSTRAINT coverage_blocks_check CHECK ((NOT isempty(blocks))),
    CONSTRAINT coverage_parts_check CHECK ((NOT isempty(parts))),
    CONSTRAINT coverage_whole_or_part CHECK ((((parts = '[0,2147483647)'::int4range) = (batch IS NULL)) AND ((batch IS NULL) = (parts_of IS NULL))))
);

ALTER TABLE ONLY ampipe.coverage REPLICA IDENTITY FULL;


--
-- Name: TABLE coverage; Type: COMMENT; Schema: ampipe; Owner: -
--

COMMENT ON TABLE ampipe.coverage IS 'The blocks of each table that are committed. A row with a batch is part of one block.';


--
-- Name: migrations; Type: TABLE; Schema: ampipe; Owner: -
--

CREATE TABLE ampipe.migrations (
    step integer NOT NULL,
    done_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: replaced; Type: TABLE; Schema: ampipe; Owner: -
--

CREATE TABLE ampipe.replaced (
    id bigint NOT NULL,
    table_id integer NOT NULL,
    block bigint NOT NULL,
    replaced_by bigint NOT NULL,
    content jsonb NOT NULL
);


--
-- Name: TABLE replaced; Type: COMMENT; Schema: ampipe; Owner: -
--

COMMENT ON TABLE ampipe.replaced IS 'Rows that a row of a higher block replaced by key. They come back if that block is taken back.';


--
-- Name: replaced_id_seq; Type: SEQUENCE; Schema: ampipe; Owner: -
--

ALTER TABLE ampipe.replaced ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ampipe.replaced_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: tables; Type: TABLE; Schema: ampipe; Owner: -
--

CREATE TABLE ampipe.tables (
    id integer NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    pipeline text NOT NULL,
    sink text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    live_epoch bigint,
    live_seq bigint,
    live_start bigint,
    cursor_network text,
    cursor_block bigint,
    cursor_hash bytea,
    unsaved bigint DEFAULT '-1'::integer NOT NULL,
    adopting bigint,
    CONSTRAINT tables_cursor_hash_check CHECK ((octet_length(cursor_hash) = 32))
);


--
-- Name: TABLE tables; Type: COMMENT; Schema: ampipe; Owner: -
--

COMMENT ON TABLE ampipe.tables IS 'The tables that ampipe loads. Deleting a row makes ampipe forget what the table holds.';


--
-- Name: COLUMN tables.unsaved; Type: COMMENT; Schema: ampipe; Owner: -
--

COMMENT ON COLUMN ampipe.tables.unsaved IS 'The highest block that may have replaced a row by key that ampipe.replaced does not keep.';


--
-- Name: COLUMN tables.adopting; Type: COMMENT; Schema: ampipe; Owner: -
--

COMMENT ON COLUMN ampipe.tables.adopting IS 'Rows that have been adopted so far, while a table that others have filled is being adopted. Else NULL.';


--
-- Name: tables_id_seq; Type: SEQUENCE; Schema: ampipe; Owner: -
--

ALTER TABLE ampipe.tables ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ampipe.tables_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: latest; Type: TABLE; Schema: earlier; Owner: -
--

CREATE TABLE earlier.latest (
    block_num bigint,
    slot numeric(20,0) NOT NULL,
    "timestamp" timestamp with time zone,
    hash bytea,
    miner bytea,
    gas_used numeric(20,0),
    base_fee_per_gas numeric(38,0),
    total_difficulty numeric(38,0),
    extra_data bytea
);


--
-- Name: rows; Type: TABLE; Schema: earlier; Owner: -
--

CREATE TABLE earlier.rows (
    block_num bigint,
    slot numeric(20,0),
    "timestamp" timestamp with time zone,
    hash bytea,
    miner bytea,
    gas_used numeric(20,0),
    base_fee_per_gas numeric(38,0),
    total_difficulty numeric(38,0),
    extra_data bytea
);

ALTER TABLE ONLY earlier.rows REPLICA IDENTITY FULL;


--
-- Data for Name: coverage; Type: TABLE DATA; Schema: ampipe; Owner: -
--

INSERT INTO ampipe.coverage VALUES
	(1, '[160,208)', '[0,2147483647)', NULL, NULL),
	(2, '[160,208)', '[0,2147483647)', NULL, NULL),
	(1, '[0,50)', '[0,2147483647)', NULL, NULL),
	(2, '[0,50)', '[0,2147483647)', NULL, NULL);


--
-- Data for Name: migrations; Type: TABLE DATA; Schema: ampipe; Owner: -
--

INSERT INTO ampipe.migrations VALUES
	(1, '2026-11-29 20:49:32.326964+00'),
	(2, '2026-11-29 20:49:32.326964+00'),
	(3, '2026-11-29 20:49:32.326964+00'),
	(4, '2026-11-29 20:49:32.326964+00');


--
-- Data for Name: replaced; Type: TABLE DATA; Schema: ampipe; Owner: -
--

INSERT INTO ampipe.replaced OVERRIDING SYSTEM VALUE VALUES
	(1, 2, 161, 185, '{"hash": "\\x26051f0cea69a33a0b6589c6d862c989747af779dbfd221dcb7d4edd39790743", "slot": "7", "miner": "\\x0469ac51ed2cd86d7a7f882e31b6febd7e5caa68", "gas_used": "15348220", "block_num": "161", "timestamp": "2024-01-01 00:32:12+00", "extra_data": "\\xc1f1a78a4b2143", "base_fee_per_gas": "50590127455", "total_difficulty": null}'),
	(3, 2, 168, 188, '{"hash": "\\x32129ff46ce4d78098f2267a635fdb50bdf2d15d0047362fefc33853ccbc4d4f", "slot": "37", "miner": "\\x33a11aa1aa4ba85535939c22123605bf1537d9a4", "gas_used": "10224225", "block_num": "168", "timestamp": "2024-01-01 00:33:36+00", "extra_data": "\\x7f38acfa53a2", "base_fee_per_gas": "72592414492", "total_difficulty": null}'),
	(6, 2, 175, 186, '{"hash": "\\xacd5ea54cb1dc41e4c62d5ad8d9e76f62457ffcf74e32b6040d6d8aff37bec37", "slot": "67", "miner": "\\x87dcbe5fb7517abb81f7ac56897134d2c3d2b76a", "gas_used": "9905125", "block_num": "175", "timestamp": "2024-01-01 00:35:00+00", "extra_data": "\\x312b8af8918a5c3f37e9e48d8799b20e83a250aa30", "base_fee_per_gas": "59127443285", "total_difficulty": null}'),
	(8, 2, 5, 185, '{"hash": "\\xa961d730dd99cca61c75609a5fc4f277968792f784f7e80f64f5122f5b842553", "slot": "7", "miner": "\\x87b622d37e56e6d16a496f38d338a572ec0ba9d6", "gas_used": "3804638", "block_num": "5", "timestamp": "2024-01-01 00:01:00+00", "extra_data": "\\x3b4795141b8a209d1ee5af50d71867b39f1d18ac30", "base_fee_per_gas": "60519086965", "total_difficulty": null}'),
	(10, 2, 9, 183, '{"hash": "\\xe96ec625af37f55cbe8dead952ab1305acf2ab72a8e0ced72f6f6096853be91c", "slot": "25", "miner": "\\x706459de4df194ee83c2770b341ae0d1dd140858", "gas_used": "6089297", "block_num": "9", "timestamp": "2024-01-01 00:01:48+00", "extra_data": "\\xc8bad5c3984098bc8e576a7c30429936e9a4a390515820b22fdd5533b65a99e0", "base_fee_per_gas": "68268739681", "total_difficulty": null}'),
	(11, 2, 0, 8, '{"hash": "\\x973d550278276fd6ab7d136e2f4d453008d80bcc677618d52014c12ab52f1c66", "slot": "40", "miner": "\\xb99c8348f061f480a718c864902828a6b013aad6", "gas_used": "14495526", "block_num": "0", "timestamp": "2024-01-01 00:00:00+00", "extra_data": "\\x466f26f30303c0539e5325fb8e245f74b4f987f9", "base_fee_per_gas": "17426543550", "total_difficulty": null}'),
	(13, 2, 15, 187, '{"hash": "\\x3b9dc4481753918257fbf633507fc980f24c1981b18763c1dc9d7328c5b6a455", "slot": "46", "miner": "\\x4229b6301da54e91287c73709d1839f6619a6673", "gas_used": "7372822", "block_num": "15", "timestamp": "2024-01-01 00:03:00+00", "extra_data": "\\x50ec6fa6a1f9c910a4f903d11f006ae393df27f550a80cabf663afe6", "base_fee_per_gas": "86785543460", "total_difficulty": null}'),
	(15, 2, 19, 170, '{"hash": "\\x8ebeb9d1000451800b23f42203b6159bbf6f4c5186ced8b0ac987b302d8566f0", "slot": "73", "miner": "\\x07465f5dafe1a5e47699cfeb633c050674678b6d", "gas_used": "13251631", "block_num": "19", "timestamp": "2024-01-01 00:03:48+00", "extra_data": "\\xef30b0ccd7b7b7c0532b8a34eefe987a1c0ee1", "base_fee_per_gas": "92710157502", "total_difficulty": null}'),
	(16, 2, 13, 20, '{"hash": "\\x7a2aaefda14bb75de213434a2ab1316c740ddddf04e7ec7d415ba42c586b5ba9", "slot": "75", "miner": "\\x0fa3578765c6eb2576fe4f68d95238deb869ee77", "gas_used": "23772835", "block_num": "13", "timestamp": "2024-01-01 00:02:36+00", "extra_data": "\\xf99f5a508bee7940", "base_fee_per_gas": "7543157443", "total_difficulty": null}'),
	(17, 2, 4, 22, '{"hash": "\\x84f595790813d2354887b3f0d3351f26da8606e0413c66e0d8f6aec9400fbf0c", "slot": "13", "miner": "\\x18ab1a9a521e02715acdee67e5fb475b87b928ec", "gas_used": "13960447", "block_num": "4", "timestamp": "2024-01-01 00:00:48+00", "extra_data": "\\x27", "base_fee_per_gas": "20377051629", "total_difficulty": null}'),
	(18, 2, 23, 172, '{"hash": "\\x8830c8c6104c8cf0cc347bc02ed1209efa778798090227058e612bba61cc47e3", "slot": "43", "miner": "\\xb618e84e5dfe03c873b5baaeffb0ae42d7be51e8", "gas_used": "25074543", "block_num": "23", "timestamp": "2024-01-01 00:04:36+00", "extra_data": "\\xcff7f6240b3f71f810180988ea5e63e34a4753147ded931c", "base_fee_per_gas": "96915937581", "total_difficulty": null}'),
	(19, 2, 26, 178, '{"hash": "\\xb32355eb8d7a5e2f1b8c0805e0cb30062be25d1db49fe388d22da922dc5ccb81", "slot": "18", "miner": "\\x2d2d9f1cddb5af239766bd1f358f97d4b66abd75", "gas_used": "992231", "block_num": "26", "timestamp": "2024-01-01 00:05:12+00", "extra_data": "\\x2fb860bfe4924f91323f0f2e0d2331b834", "base_fee_per_gas": "68593786850", "total_difficulty": null}'),
	(20, 2, 1, 27, '{"hash": "\\x3200bcc155ec77c9ec22fbb96f082a6547b979bc0b7687525a9f92c89d636007", "slot": "41", "miner": "\\x0e4e3942c26252f627d7fe02146601046b047d7d", "gas_used": "5444554", "block_num": "1", "timestamp": "2024-01-01 00:00:12+00", "extra_data": "\\xb77b49dedd0048407f22224d6ff6a90b960cf5b5", "base_fee_per_gas": "59309907337", "total_difficulty": null}'),
	(21, 2, 12, 28, '{"hash": "\\x3858e6df1614578a54587f10ef6554afd5839d8e084089a3ad3f74beaff7a33f", "slot": "92", "miner": "\\xd46222c151b067654d263ca1f5344564d0ce0929", "gas_used": "11045773", "block_num": "12", "timestamp": "2024-01-01 00:02:24+00", "extra_data": "\\x662c94042b87dfbb08ae6bb9cf0f752a824645bf16b2ad", "base_fee_per_gas": "22678837444", "total_difficulty": null}'),
	(22, 2, 21, 28, '{"hash": "\\xd4c758e82968f11bed59c3a708e50c9042c08f8402ad240a8f5781d2e9fbc173", "slot": "92", "miner": "\\xa50c3b2d8057bb95b6522245a334ec71d6e9ce75", "gas_used": "17326426", "block_num": "21", "timestamp": "2024-01-01 00:04:12+00", "extra_data": "\\x62ab045f8a1217bc036fdefc8be0780bee8233669c6bc4648bbe", "base_fee_per_gas": "11712858756", "total_difficulty": null}'),
	(12, 2, 11, 173, '{"hash": "\\x19de51ce4f451f711f429d95440c9c091d24db7b600dfbf529cac9ffd194c3a7", "slot": "29", "miner": "\\xfc774b7617599871ebdc6e98215e5ad6ad8cf3be", "gas_used": "20475080", "block_num": "11", "timestamp": "2024-01-01 00:02:12+00", "extra_data": "\\x1c1bd74396ed9cb561e2563f38ab3139888b7cf4", "base_fee_per_gas": "55992039145", "total_difficulty": null}'),
	(9, 2, 7, 171, '{"hash": "\\x9bbc109e7db8c6d402dbafe2df9bf4b2e5606a37616cddeea823280e80ccfc3c", "slot": "48", "miner": "\\x677d9f182efb58f8a65775a4137745ed8d20448f", "gas_used": "2143748", "block_num": "7", "timestamp": "2024-01-01 00:01:24+00", "extra_data": "\\xb57278c04ab782b4fbf5a54a9563dbe0e473128167aa161e51541798f5bdb540", "base_fee_per_gas": "29260822030", "total_difficulty": null}'),
	(25, 2, 177, 191, '{"hash": "\\xcc153e5f0579336639fba20d211ce73f3ea09b037c385745db5742140d2b8014", "slot": "71", "miner": "\\xf85def1c4bba114d6c84c4771a0f2b639bb88016", "gas_used": "12494350", "block_num": "177", "timestamp": "2024-01-01 00:35:24+00", "extra_data": "\\xc8f6cc13ea4c577ae7ef1e9d95ca5a7fb989", "base_fee_per_gas": "30199121518", "total_difficulty": null}'),
	(26, 2, 187, 195, '{"hash": "\\xd7dcca9a44ce86eb8f78ed1fd9cb8a44c14b29e6ede20cf62e4a1f7b47ddcb55", "slot": "46", "miner": "\\x17652ec26040fae7fd7195b54fa68f059b2a8396", "gas_used": "19876995", "block_num": "187", "timestamp": "2024-01-01 00:37:24+00", "extra_data": "\\x5cb18175b438b6ab276aaba24b965c12491ba8a40e5adfad", "base_fee_per_gas": "65697604194", "total_difficulty": null}'),
	(27, 2, 29, 198, '{"hash": "\\x4e72b5bfcf444355c53715e217dce1a53b5d04fe5b8d509ef0e0f32c43a8dec2", "slot": "28", "miner": "\\x045bb5149167342d7ac8e2719be68c8f7836f325", "gas_used": "29360182", "block_num": "29", "timestamp": "2024-01-01 00:05:48+00", "extra_data": "\\xec0cf0550c2270018a62b628c0c084176f2ee2b9865d92c7d02e69aaa1d4", "base_fee_per_gas": "71124163914", "total_difficulty": null}'),
	(28, 2, 27, 200, '{"hash": "\\xaf30eda020b346c9840d36b1a024d92c290388730d5b4c0463bfc19f1082129c", "slot": "41", "miner": "\\x14833a45e919b6ff32bd7b47dcd32ea2c7eb681b", "gas_used": "14947159", "block_num": "27", "timestamp": "2024-01-01 00:05:24+00", "extra_data": "\\x9c38", "base_fee_per_gas": "15460490874", "total_difficulty": null}'),
	(29, 2, 185, 201, '{"hash": "\\xfcb2d89375dcbf708ad5debc2437ed50ecbc067b768db1236e3ebd5103d747f1", "slot": "7", "miner": "\\x7182d2522fa487f554eecc0dde529a811e7a6ecc", "gas_used": "1188645", "block_num": "185", "timestamp": "2024-01-01 00:37:00+00", "extra_data": "\\xdb82e53e6c418619fc42027f6e02185a16052df87fd36264", "base_fee_per_gas": "59955683979", "total_difficulty": null}'),
	(30, 2, 17, 202, '{"hash": "\\xa242c56aa41629a7fe971537839ab67a974cb45e71e613bb5d76ea700a322a2f", "slot": "68", "miner": "\\xfedb15788a4835b12d2fbc2e6e9d5975c266a33d", "gas_used": "12183947", "block_num": "17", "timestamp": "2024-01-01 00:03:24+00", "extra_data": "\\x0d38eb935dcc9c81ae321e73593da3", "base_fee_per_gas": "28591444747", "total_difficulty": null}'),
	(34, 2, 30, 199, '{"hash": "\\x411a72e5df04095499556a04060d5e5017639177fca2f1733dc11def2be90bc9", "slot": "15", "miner": "\\x4d853c597a4e5d2cbfc8ce121d30045405ab12d5", "gas_used": "15956030", "block_num": "30", "timestamp": "2024-01-01 00:06:00+00", "extra_data": "\\x1aa324dba3632a7776294becbdcdcc84", "base_fee_per_gas": "53182416019", "total_difficulty": null}'),
	(35, 2, 31, 201, '{"hash": "\\xc8a2d72f0f04ad80384af56425227ae111b9fcc0e87a3d8cd1b2cce40ffae681", "slot": "7", "miner": "\\x359f0a9fb31873331cfa80287b6ed753a31100a5", "gas_used": "4621184", "block_num": "31", "timestamp": "2024-01-01 00:06:12+00", "extra_data": "\\x6556e4", "base_fee_per_gas": "55287124423", "total_difficulty": null}'),
	(36, 2, 25, 32, '{"hash": "\\xd7e7297e62f4d4594bad3f50a02ed87edd404c24c9464298fcc8cb86afcadacd", "slot": "91", "miner": "\\x6c58d790451b8954af2c18605349d0887f56f1c9", "gas_used": "23990228", "block_num": "25", "timestamp": "2024-01-01 00:05:00+00", "extra_data": "\\xebde48d96d5211f66a815dcc06d60c80de1b6ac2", "base_fee_per_gas": "36096189373", "total_difficulty": null}'),
	(31, 2, 165, 197, '{"hash": "\\x4c28e8ae5ba48e737e2272615a31bb6cd073761906362ebab69b780acd03bcbc", "slot": "17", "miner": "\\x583de77f2ea0957fb7629b7e9a1546a12d88298f", "gas_used": "8539024", "block_num": "165", "timestamp": "2024-01-01 00:33:00+00", "extra_data": "\\x29468d35a27d3487e784a7aa1b14194b801e7493b177", "base_fee_per_gas": "55528838219", "total_difficulty": null}'),
	(37, 2, 6, 33, '{"hash": "\\x0965deff4737e4c77c4e67cbb3f894da823ed5cea17388a2f99ea8a096de974a", "slot": "66", "miner": "\\x088b62320da1df20e1a591d27906934d90ec1049", "gas_used": "9338547", "block_num": "6", "timestamp": "2024-01-01 00:01:12+00", "extra_data": "\\x0995", "base_fee_per_gas": "7553065037", "total_difficulty": null}'),
	(38, 2, 34, 191, '{"hash": "\\x4d1c97c8eb2035e05b3ba3d7a126a98080a64bde902a6ba4ec4942ff0f8bc1b5", "slot": "71", "miner": "\\x17af56375f3b47fd8941c6b05c4ab106222523c0", "gas_used": "25348208", "block_num": "34", "timestamp": "2024-01-01 00:06:48+00", "extra_data": "\\xb856dec6929cf02b3bca8a80d2e85ea9f45ae476a9dc51", "base_fee_per_gas": "66831161979", "total_difficulty": null}'),
	(39, 2, 36, 192, '{"hash": "\\xe8f9369a576b5f52837b00715f88e8c45f47d387a29fabc74961b82baa27712b", "slot": "50", "miner": "\\x65037b9ba93d26479d7e4719e9acd4f239555885", "gas_used": "24511950", "block_num": "36", "timestamp": "2024-01-01 00:07:12+00", "extra_data": "\\x02a545a33d0a40e16a9bdcfeb8", "base_fee_per_gas": "36069672644", "total_difficulty": null}'),
	(40, 2, 38, 167, '{"hash": "\\xd6e4cd68e6e4a4ad9cdd4afd1cefb89f7be32e48de90a6a92b438e52201c9b53", "slot": "42", "miner": "\\xf47e3e0808a73c2cacd2351e4b20a6663bfb6601", "gas_used": "16429029", "block_num": "38", "timestamp": "2024-01-01 00:07:36+00", "extra_data": "\\xe0aec5aa62470cca188aacd14fd7dba2735080ccbc", "base_fee_per_gas": "37764405877", "total_difficulty": null}'),
	(41, 2, 180, 203, '{"hash": "\\x970f444b90d2e998129637c9788950e8b2e9f56defc88f88040d7a63866d4240", "slot": "38", "miner": "\\xe207cb062af8577b75850e470c5e0e4a0d28f54a", "gas_used": "27347151", "block_num": "180", "timestamp": "2024-01-01 00:36:00+00", "extra_data": "\\x44c57ab983b94fb162", "base_fee_per_gas": "91684705904", "total_difficulty": null}'),
	(42, 2, 8, 204, '{"hash": "\\x724781134f4fe4fe7db236092e791320f7a981de71069c2c27d597c329de5e35", "slot": "40", "miner": "\\x14856413695ba0ae5531bbdb96291a876965268d", "gas_used": "636845", "block_num": "8", "timestamp": "2024-01-01 00:01:36+00", "extra_data": "\\xf30f7244f237f35dd529cf8d9c4415", "base_fee_per_gas": "75864756215", "total_difficulty": null}'),
	(43, 2, 167, 205, '{"hash": "\\xd977d58dde7308f460daa63d536792fd67e3274446d5a1d62d14b2dab39bc483", "slot": "42", "miner": "\\x3451610a5cde9febe3ee0d36a1554f53856a3da8", "gas_used": "750725", "block_num": "167", "timestamp": "2024-01-01 00:33:24+00", "extra_data": "\\x3538", "base_fee_per_gas": "70032649428", "total_difficulty": null}'),
	(44, 2, 174, 206, '{"hash": "\\x0f38d59e9e39ccfd21977ec1957c126c30cb3916fffc8c0b6f82a8f4e6ed02b5", "slot": "85", "miner": "\\x769a849ce5dd07590718fbe28e3deab5980f0c62", "gas_used": "19367978", "block_num": "174", "timestamp": "2024-01-01 00:34:48+00", "extra_data": "\\x9c211ebca5840f8ac0befd602a2e4ed06105d513", "base_fee_per_gas": "84477099425", "total_difficulty": null}'),
	(45, 2, 41, 169, '{"hash": "\\xe575d8cbf5070f0b9f60690c6fbf03fd8f23f2f6e5d9f445cb76208b43cd057c", "slot": "78", "miner": "\\xd60a7a2f01d6cc771af9c1601fe7a790dfee221a", "gas_used": "2835000", "block_num": "41", "timestamp": "2024-01-01 00:08:12+00", "extra_data": "\\x449650", "base_fee_per_gas": "5662754316", "total_difficulty": null}'),
	(46, 2, 42, 193, '{"hash": "\\x1463cea90dc6e97d01f228bd69d8a5a307eb887941eab5662cad9c65a1f77a50", "slot": "8", "miner": "\\x5a471e1e506185f968e6ba55a6b41c9207221fd2", "gas_used": "23777812", "block_num": "42", "timestamp": "2024-01-01 00:08:24+00", "extra_data": "\\x58", "base_fee_per_gas": "3492584018", "total_difficulty": null}'),
	(47, 2, 14, 44, '{"hash": "\\x0b8e75616e24cd99fca94d900deeded361fd07fe9f531edeb960a7820b6f6603", "slot": "19", "miner": "\\x99a8e75fa3a7af675867c99ded5ba272f43eb475", "gas_used": "19012116", "block_num": "14", "timestamp": "2024-01-01 00:02:48+00", "extra_data": "\\x", "base_fee_per_gas": "92985948726", "total_difficulty": null}'),
	(48, 2, 37, 45, '{"hash": "\\x5f11b77029c094403c9d9096cfd99c6afc733b3339cef92e602d0e6b91370857", "slot": "49", "miner": "\\x6fa753f19c4350aa6ce6e3e00e66b587f4130f45", "gas_used": "15163477", "block_num": "37", "timestamp": "2024-01-01 00:07:24+00", "extra_data": "\\x3fb7d15c459a18d6035a01d0bbe9171fc1938ef05fbfee31", "base_fee_per_gas": "32371973398", "total_difficulty": null}'),
	(49, 2, 47, 178, '{"hash": "\\x09db973b5a6dbac4af6fa65d5501e56253babf908c91950c4379e8703a502e64", "slot": "18", "miner": "\\x9a17f850e74a80ce9d2a20fd4fcadcbf31e7ef1c", "gas_used": "557962", "block_num": "47", "timestamp": "2024-01-01 00:09:24+00", "extra_data": "\\x13ec5b19988a1f374982c23b422dc9987cd3ee82e41788f318dd1a11", "base_fee_per_gas": "77351536563", "total_difficulty": null}'),
	(50, 2, 48, 204, '{"hash": "\\xf35e883e393a2462398ed7158eed572c8a0d3bc6fdda31d3af48f5cd0c98a551", "slot": "40", "miner": "\\xee527bf8eda40f76ede8205630372c78a37e0058", "gas_used": "2239479", "block_num": "48", "timestamp": "2024-01-01 00:09:36+00", "extra_data": "\\xd7d26b9a69a30e628bfce975aaadbb65943dff47526c7cd4f4e311805a", "base_fee_per_gas": "92023628203", "total_difficulty": null}'),
	(51, 2, 49, 203, '{"hash": "\\x91281a69c26ea75abfdb86daee8015e29d73a0b869541c3eea85a2ef60cccbe9", "slot": "38", "miner": "\\xf8ca84cc87e839ff79ea73e9c46b49dfa5be49aa", "gas_used": "3708445", "block_num": "49", "timestamp": "2024-01-01 00:09:48+00", "extra_data": "\\xccac29c8d4ed34881b23", "base_fee_per_gas": "87419056485", "total_difficulty": null}'),
	(52, 2, 43, 46, '{"hash": "\\x445f5fefd6fcb51de4c0d9f015c09ba17ea7531701d73b883f090fe21d209488", "slot": "30", "miner": "\\x157ce098966d7f7a62351a69b9bc67127dc0ff0d", "gas_used": "18948980", "block_num": "43", "timestamp": "2024-01-01 00:08:36+00", "extra_data": "\\xbea952ef99e65cdfb6a78daba22a7e51adb7", "base_fee_per_gas": "35394425768", "total_difficulty": null}');


--
-- Data for Name: tables; Type: TABLE DATA; Schema: ampipe; Owner: -
--

INSERT INTO ampipe.tables OVERRIDING SYSTEM VALUE VALUES
	(1, 'earlier', 'rows', 'earlier', 'rows', '2026-11-29 20:49:32.341687+00', 1795985370, 17, 160, 'anvil', 207, '\x53dbcdc17bca12187444dd092df746f06999bf0bedf115572855ecd497407d22', -1, NULL),
	(2, 'earlier', 'latest', 'earlier', 'latest', '2026-11-29 20:49:32.383159+00', 1795985370, 17, 160, 'anvil', 207, '\x53dbcdc17bca12187444dd092df746f06999bf0bedf115572855ecd497407d22', -1, NULL);


--
-- Data for Name: latest; Type: TABLE DATA; Schema: earlier; Owner: -
--

INSERT INTO earlier.latest VALUES
	(162, 34, '2024-01-01 00:32:24+00', '\xef1b66a2a0a275cc44031ac27ae44a080cfbb3a98b63acb5ccdc58cc43daef7a', '\xa0056eebd65b911513828097d890bbb659c9ce5e', 418589, 55054899679, NULL, '\x179923803e36'),
	(163, 59, '2024-01-01 00:32:36+00', '\xbdfe33ca6953b0d8933906414730df74406afa6d26c73ee1a5829d5e984f4ec0', '\xeca01e861bda5082273c9f6390b2bdd97215f2ec', 20905693, 49471198963, NULL, '\xf0705d475a0adc2902c166075508b850'),
	(164, 83, '2024-01-01 00:32:48+00', '\xf695926ffad3d5ca4b723b00eb2576098e84c98ee285debe26f4833c8b9a368c', '\x3575dcfec76ef7ef0b7f234b6f57f90e9fe3d257', 29832918, 18527893202, NULL, '\x52fc99802fdc397c61324ab45fb43d8474'),
	(169, 78, '2024-01-01 00:33:48+00', '\x6ab086667d36fec6232236525f8eb72aeae28c69e75578443234221c473bc6aa', '\x2e154b7e71e65644a7d16dfec7a34d9da4c1fab9', 1648399, 51796385702, NULL, '\xe2'),
	(172, 43, '2024-01-01 00:34:24+00', '\xa00003f88483a2c1a242bdc69abda2dd20ada0f2b296fe1b1ed90e926e292436', '\xadd31770baa304026179cdf255677a048f33139e', 2846217, 22603275356, NULL, '\xb229c2500ad611d8cd5ae85ad30d6380f63a4323d4aa341f5ab9d739'),
	(176, 39, '2024-01-01 00:35:12+00', '\x9730c46d92fe19b5a91fbfd8c7c512ae78fd7dcb7a31c09d038239a55c6b64d3', '\xab4a7966a361fe20305de4f9c9573c8bb52e5da6', 3357694, 54192317372, NULL, '\xea3a4ac099ea918e0a65a2631ac9b5017e'),
	(178, 18, '2024-01-01 00:35:36+00', '\xd8a3db62a82741f365cd8a21c900f69fd01eab642c6f427aee083ec50e6d92f6', '\xa7606a48c9e5b1846827d38aa30e6c7ac6fbaf66', 26113776, 65100409138, NULL, '\x7f2dbaad672440bb345ad90cd3bf7692a8189c7abe528842'),
	(179, 84, '2024-01-01 00:35:48+00', '\x49f2705ee7279863eafdf4cc0944ff55db8c1cea203e1b2fafda22a1357e094c', '\x8dde24aa25cdcedbaeac5f7af7d9fb4f747b26e3', 27777392, 42050633247, NULL, '\x'),
	(181, 62, '2024-01-01 00:36:12+00', '\x307f504a29c0466a7e67b3bb75b2716bc468a2b540ce8c078a5176642825a3ad', '\xe1a22b176b1729fd6a2d1189ae3b58f4bdb187c0', 26127691, 71210864153, NULL, '\xc78e8f81e371134531ecd3839e37af5b'),
	(182, 31, '2024-01-01 00:36:24+00', '\x895696eaa2f7ed32aea57906dbaa2f72d27058cfb59b8f397086a168fddd1ac3', '\x9d8fddc4cb15a11a000345a06da8a9de015e55d3', 26661742, 31102187022, NULL, '\x2d'),
	(183, 25, '2024-01-01 00:36:36+00', '\xf450a1e16e9d04860efc9e38e6bc6c0066b0f21b417a62042ce38628cda76c1d', '\x2db388f49500601c32b17457757337c428fdb7f2', 25779133, 52833982302, NULL, '\x06ad343f2f777abe7a74ac9e01b27af02c3ee619a6c2984e336e'),
	(184, 35, '2024-01-01 00:36:48+00', '\x75c473c4ea504dfdd06590684eaa0334e7ea59a8cd3533bd8a56dd19e70ab6cf', '\x8de698baa1b76c31a06e3d937573c23c9ca30e33', 7999528, 51906677302, NULL, '\x42d9e82043efae76d17e4cc009936674993c6ebcb1e9ff590b'),
	(186, 67, '2024-01-01 00:37:12+00', '\xbce566a559a1b7523c11bf8d7b9b918c871e3bb9f6216847e935d2c06049f61c', '\x40795991f799b09af28d17df987f48e25c47d376', 20671058, 30171860995, NULL, '\x08d337533bb8b7bd4a690ab928'),
	(188, 37, '2024-01-01 00:37:36+00', '\x44e59bff881106c3113107aa0ea643b8bf20ae3e8ee7dca1c5f32578eea83d65', '\xaed2d44a1eb891abbe4f4c0e2123f3e432dd468e', 21555765, 38733874467, NULL, '\xc21b3914a83c0405678a35f08010f10992'),
	(189, 74, '2024-01-01 00:37:48+00', '\x6324a35024f5c4d98bc85ade5c75e1a5089d4426dbf723b6082e8f9efc2dbe8c', '\xdd00891b42778d63cc39d836a40960588de3256b', 551228, 72150583653, NULL, '\x9e793d07d488d61cf0b985'),
	(190, 20, '2024-01-01 00:38:00+00', '\xa06b85a16bff4d70e41cee4ff7c57ef6d27cf5d9614f418e4eb72fbbbc800d81', '\x3cbbb4ce8328dafc88c547d69cdc0c2865770f7b', 22945855, 70501286017, NULL, '\xbd995737'),
	(2, 21, '2024-01-01 00:00:24+00', '\xcda3d61413dceb2cf8d1e6f48ad326fbdf815e5a81c0d545fa08e4eef9c2013a', '\xe583b955e1d4c705ec4828112c4334733ae1767b', 27146538, 44882701171, NULL, '\xc4d9e47134225800fbdf3aa4b96546368b0cf88b59c1'),
	(3, 61, '2024-01-01 00:00:36+00', '\x44e5925cbace299e912e9faaa4a8328c07775ce79ac8b4d5780728d177c04e5f', '\xf6d64b660b58672d322033a9c1d34ee1905da940', 6643882, 56712097425, NULL, '\xd5cb4215b3fa'),
	(10, 55, '2024-01-01 00:02:00+00', '\xef5bb0b2e9eab44191f83266a00666f0974f5f4165518f80ea6811805e9783c3', '\x292a57b3463bbd9f7c7b4f13a0fd4607cd9543bd', 17869395, 46637132723, NULL, '\x9198'),
	(16, 72, '2024-01-01 00:03:12+00', '\x6594ce680af8b3a9a3358acb7570e60a66ba4867d61a34cd692cdfd906fac47f', '\xb119ec4103f83cba34f51c63607ddbd8c6c611d4', 873751, 82854465140, NULL, '\xc02832156b6e548b92'),
	(201, 7, '2024-01-01 00:40:12+00', '\x3561b1efdcbccdf4b86d3094a0f9acb4e348681615aefdb979ac3cfc87a126fd', '\x59dbe45e4152fa1cbfe54d67c5356aad8566e5dd', 18957590, 20036646856, NULL, '\x59dbf24eb5213e21f17265008b39f81eaa679a9852bd'),
	(200, 41, '2024-01-01 00:40:00+00', '\xd93d06bfe20cc65a7f2f5a9ee38509d7cdcac143d4e68c441127f35e6a8e296c', '\xafe2674e1bb4836d4eb8ef7e82048f93919b951a', 3318508, 17257504744, NULL, '\x0a2dc92d5305b8f4a3bf66402c2a87bc4681895e9e7e6354e1ff3b18778747e5'),
	(195, 46, '2024-01-01 00:39:00+00', '\xbdf8fc8c3fb0ae614fddeabbcb571de943ffb7175bfc27e48576611160518790', '\x9e517e7b6a60f3a5b67415caf96bfd86724423d7', 12846338, 93700240472, NULL, '\x1090e3261c2d79f73b6225c764294160da46a5b765b8a9bbf1e6a8d1a310cd'),
	(202, 68, '2024-01-01 00:40:24+00', '\xc944c1a76658a97781ec5d85390d534dbb64084eaa4f9c06a507ad7d04047d1c', '\x87f1cc4cdd119ea9c88cdcda0caaa8282f9d67e1', 14211247, 2488982115, NULL, '\xc0f851e689d8cae69a2eecd8acfe5798'),
	(33, 66, '2024-01-01 00:06:36+00', '\x99214655817ef50484639501d38c73f0184d8e5e6d3f43e389a2c482f5dc93cc', '\x328670a70a68247c07b7314b48ce810fdff776e6', 11831641, 82745622703, NULL, '\x37b3c6c4802c0232bdc0aedef25e52466c48be2ec727eac4be5f'),
	(203, 38, '2024-01-01 00:40:36+00', '\x8b6e8e4eb7529f241e9e06f108c412f4b45c5b75a9d64c372e284d64cec63eb5', '\x85c1b304d8eed7b7d911d991e6ec2f478caf9c5d', 18461369, 45594001158, NULL, '\x586be0940e3d597f9c600aaf8d950cc5d13fcb485ecebd'),
	(204, 40, '2024-01-01 00:40:48+00', '\x40031b79fac31a16ff514f913edf8dbdf08d3a0cb54dc2cda54a8d100886fa37', '\x7734ce2811608d45419d55f1f973a73dfd1ffed7', 4609771, 85415883742, NULL, '\x2afe905b640a8a3d232ad06226'),
	(205, 42, '2024-01-01 00:41:00+00', '\x6e6ffb7a62e3523056f7267aa4ab0dac4de29deebbab0a2a3ef4d668c0de0a58', '\xb33be767e936b4809b53db8331deca4de82382c7', 16693063, 72146029991, NULL, '\xc6ad047b184f3786c3c18d'),
	(206, 85, '2024-01-01 00:41:12+00', '\x3e16fa429adac3060387e313197a610715a349c3013f066aa9b15616dfaf71fb', '\xeb5eb459628b260c886ea1be11798d79951ff28f', 10410998, 53906800712, NULL, '\x1633c139623d67a9ea61'),
	(44, 19, '2024-01-01 00:08:48+00', '\x91e4fccd559c7cfd6d2c0f96520fbb483753809c64969308fa15d1ed05d11c00', '\x62056865a5c009289000df4f9e3b89511a923f0d', 28741119, 33523459760, NULL, '\x141b8ee0a7604153da223f6fe778'),
	(22, 13, '2024-01-01 00:04:24+00', '\x9c89a25bea11ee8acc22635dbeb6182df3429a2e26252a70e17ea242316287e5', '\xc4db294854fbce867b8ee539dd153d9be743c893', 18310412, 4464380076, NULL, '\x3303b721663c13da36eb8788caee42fc4343'),
	(20, 75, '2024-01-01 00:04:00+00', '\xd721785e1e90193d5b8652e06764d90e6b0cd892b4817385f954a6274f939ebc', '\x83e9036ed0cdd2d1d1c1e20d62e96f76401752cb', 7507196, 67846317841, NULL, '\x80412fca206f6e150d335cc5d98baf7586'),
	(24, 81, '2024-01-01 00:04:48+00', '\xce72cd89972d158790ef99738ab61eabf5537359dbef4ff0105d7c499ba330bc', '\x384212e5c91587525bc73c9b14a5e5d850a85c34', 28232998, 47237805975, NULL, '\x5d4dff613b4743ee9155ca9eb5'),
	(28, 92, '2024-01-01 00:05:36+00', '\x45f191ddd537d505b927123e32095b8b580e15360fa456c78fca38c277899644', '\xb5161e54d747a6a1a37867c8c7ad483887e43716', 16147779, 84916741744, NULL, '\xfb6eb389e7'),
	(18, 60, '2024-01-01 00:03:36+00', '\xbe6aeef374ae6ebcd54366f37d37ceb143739ecaf2940944bc6aa53251726446', '\x542b8db5ad176df6866d3ecbd203f41cef2d63c5', 29863256, 1671687043, NULL, '\xc4ea3a6f06f962e8fca41a3b19e94da1fd2a0a40f123f7'),
	(170, 73, '2024-01-01 00:34:00+00', '\xff4dea101e835bfe87dd6ff40666d6a385ae808c06f73bab3971c78edfc6ea6f', '\xd20e16f8c7a97335c688ad476e9b45a0b2d7adee', 10519723, 95584964327, NULL, '\xa0d4b686084e1028271357'),
	(173, 29, '2024-01-01 00:34:36+00', '\x0212f37a228539f04e04fd8dfd675e0616f0beabe70fc4ed82ded52f6dc33af2', '\x49b4b78704de844b3fa930111c722e74b77a3e45', 25747612, 77374759794, NULL, '\x7eb8f2ee73365892fc0851a3c3548b155cb8a34a609d'),
	(171, 48, '2024-01-01 00:34:12+00', '\xe18efd3417b9faf0c65ccbb1172140316c5a6adc2ec3a4a3d3017f58c48ed114', '\xa8eefd1b66ec800a39ede4e54d98b044cc71a257', 20693252, 42553702231, NULL, '\xb63f331dfcb6e2'),
	(166, 11, '2024-01-01 00:33:12+00', '\x124985c5eebefc83aeb152be04344cf5cdeeebad8236e91d12e35289be3016b1', '\x543db1e9255517dcea01afa4e174649b6c5b3f38', 27690601, 63616654044, NULL, '\x99'),
	(193, 8, '2024-01-01 00:38:36+00', '\x9387ad78fe7a2ff5965ee7ba2186bdc1fcb1198c2233fe11da12215493c089da', '\x3c06a8e67fa071b87953216fcc948e0efe0b5b00', 15524082, 70530403871, NULL, '\x645ffb585b9c6e55d4df5fcefea5dd36bf163e1f0ed2eeae'),
	(199, 15, '2024-01-01 00:39:48+00', '\x8c2b1b9c73b64d802baaa0ef960bceed20fc28b944bedd10368295e2b65595f2', '\x5754a761d0771bcca7f006d8cdb549712e6c8f69', 29681530, 90934777080, NULL, '\x8c'),
	(196, 27, '2024-01-01 00:39:12+00', '\xbc160b8d4d45a941359488d9b1ac57f7b613e51213d808dca68cf44422877695', '\xbf9389a474d42f8c3d1539313992127cf0435bfe', 1524867, 32914761701, NULL, '\x18771007b47e021c9b1fc6923f9d4ce4350d925cd05f'),
	(198, 28, '2024-01-01 00:39:36+00', '\x30079ce1ad3fda191ca1e2d5424573b55f49e665e9f96dfc299d40c1eba983c7', '\x97734616b729d865a91ba36ceb7ef1435125c6ef', 22575032, 46087942630, NULL, '\xde07f4900262e93aef6b7a7b24032335573fc53a2246'),
	(192, 50, '2024-01-01 00:38:24+00', '\xeb89286a90a7f89c817398b7238fcf6eddd7c60f0d60690b73b023c6b117ba39', '\xad4a8fbd8d02f057e8d4daa5b35468c2f7b2164e', 28157986, 97346247001, NULL, '\xd46267b09a694f75f26d1f1bf3be0e166e250e7920b953fdb645f213d5'),
	(194, 69, '2024-01-01 00:38:48+00', '\x621415fb276410cbcbf95f1cebdff596afbed859e2d0d3c8e1b30807c7b8f9d6', '\xf432760663241774e84da3215e6c62818b0ad225', 695171, 96972600537, NULL, '\xd1b26301b917'),
	(191, 71, '2024-01-01 00:38:12+00', '\x1318b68a5ae6e0b89183e1fa084f3c1ffd4369046587839bb45050e7d349f4af', '\x4284f6f4b646290d2c2dba8b3710826dddd41e11', 2482689, 54526908033, NULL, '\xacab9f6eda1a1bfb0089bf'),
	(39, 5, '2024-01-01 00:07:48+00', '\xe5a9a33c404528c36f7e5d2595f6190072c99bda477505552cfc9faa3fbc539e', '\x8232e4f59ab7be703bd5feffaa38badf4d741ded', 15745239, 34744499196, NULL, '\x51ea'),
	(35, 70, '2024-01-01 00:07:00+00', '\xb6657137df1bbb024f48a7d0aa00f6903a2c1d31a4a36b9352492e9a64174e19', '\x451cfb0d4e6414573441f4ed17aa795be4aa3340', 27561359, 16587141642, NULL, '\xac20ac1928b7dab038a3f62cd8bd3e439951f546b4d046e7d879ad3cd03e'),
	(32, 91, '2024-01-01 00:06:24+00', '\x4e634e8c463e5d32a69c3d1606b79739f1d4d5fc207184c7539b3d4fad4f392c', '\xa9ccd530e71d1d49b63d5c2eaa06676db15482b6', 24474646, 97661979734, NULL, '\x92d274d7a86a9c8000caf61d'),
	(197, 17, '2024-01-01 00:39:24+00', '\x75e098477681b847126e6ab02d9ac707e6d292640111ffda37d679e85fb76681', '\x0de412889ec1f0dd9c35ca555e44d5b26283bf76', 27663932, 9989901330, NULL, '\x702493e30e'),
	(160, 32, '2024-01-01 00:32:00+00', '\x8d39f631d3c9c32b169ce21246c793ff4c5a98d5b417ea5ea92e0b13dda25df4', '\x0b7438804811f9bdc8ed2e3126d4a4988d790a7d', 359417, 19623439780, NULL, '\x664df3cd854634b12a8f9c4d5a92baa37c9e8feac9735d45ca2662a49870688c'),
	(207, 57, '2024-01-01 00:41:24+00', '\x53dbcdc17bca12187444dd092df746f06999bf0bedf115572855ecd497407d22', '\x0a71361b5dfe2440896d2a499497f8446f0f82cd', 28125789, 63897751498, NULL, '\x8f9f250443104b221b6537f2'),
	(46, 30, '2024-01-01 00:09:12+00', '\xcc62c94828f97e295c5d3f96d825974a5ee7934bea22a251181fc21aac0fca20', '\x9ea5c4d22c12aef1e00a0e0857ad20017e4bd709', 6551022, 74388467164, NULL, '\x1087c4bb17b8dfa47a23b4d22892'),
	(45, 49, '2024-01-01 00:09:00+00', '\x36162153cd6084909375ce856c8aaffff0cae8d67e6132a07be80bddf329e0dc', '\xd14e4c1aec79fdfcccac4fa063ff9c3f5dc19890', 5457172, 81351367414, NULL, '\xd8215c31185a258fb03c19ac55451f2e6e0ca009bb9424e030b30a'),
	(40, 65, '2024-01-01 00:08:00+00', '\x11a43017ed170077777c6cd003a537b828e00029ac77b16fd8537f6fef890471', '\x861c2c43004be55bf9e095b0e8f6ab1ca1b5904d', 21690526, 73302883508, NULL, '\xb79e199494dbc59001ad0e9bba8ea71c595153c31ece2a2b72571864');


--
-- Data for Name: rows; Type: TABLE DATA; Schema: earlier; Owner: -
--

INSERT INTO earlier.rows VALUES
	(160, 32, '2024-01-01 00:32:00+00', '\x8d39f631d3c9c32b169ce21246c793ff4c5a98d5b417ea5ea92e0b13dda25df4', '\x0b7438804811f9bdc8ed2e3126d4a4988d790a7d', 359417, 19623439780, NULL, '\x664df3cd854634b12a8f9c4d5a92baa37c9e8feac9735d45ca2662a49870688c'),
	(161, 7, '2024-01-01 00:32:12+00', '\x26051f0cea69a33a0b6589c6d862c989747af779dbfd221dcb7d4edd39790743', '\x0469ac51ed2cd86d7a7f882e31b6febd7e5caa68', 15348220, 50590127455, NULL, '\xc1f1a78a4b2143'),
	(162, 34, '2024-01-01 00:32:24+00', '\xef1b66a2a0a275cc44031ac27ae44a080cfbb3a98b63acb5ccdc58cc43daef7a', '\xa0056eebd65b911513828097d890bbb659c9ce5e', 418589, 55054899679, NULL, '\x179923803e36'),
	(163, 59, '2024-01-01 00:32:36+00', '\xbdfe33ca6953b0d8933906414730df74406afa6d26c73ee1a5829d5e984f4ec0', '\xeca01e861bda5082273c9f6390b2bdd97215f2ec', 20905693, 49471198963, NULL, '\xf0705d475a0adc2902c166075508b850'),
	(164, 83, '2024-01-01 00:32:48+00', '\xf695926ffad3d5ca4b723b00eb2576098e84c98ee285debe26f4833c8b9a368c', '\x3575dcfec76ef7ef0b7f234b6f57f90e9fe3d257', 29832918, 18527893202, NULL, '\x52fc99802fdc397c61324ab45fb43d8474'),
	(165, 17, '2024-01-01 00:33:00+00', '\x4c28e8ae5ba48e737e2272615a31bb6cd073761906362ebab69b780acd03bcbc', '\x583de77f2ea0957fb7629b7e9a1546a12d88298f', 8539024, 55528838219, NULL, '\x29468d35a27d3487e784a7aa1b14194b801e7493b177'),
	(166, 11, '2024-01-01 00:33:12+00', '\x124985c5eebefc83aeb152be04344cf5cdeeebad8236e91d12e35289be3016b1', '\x543db1e9255517dcea01afa4e174649b6c5b3f38', 27690601, 63616654044, NULL, '\x99'),
	(167, 42, '2024-01-01 00:33:24+00', '\xd977d58dde7308f460daa63d536792fd67e3274446d5a1d62d14b2dab39bc483', '\x3451610a5cde9febe3ee0d36a1554f53856a3da8', 750725, 70032649428, NULL, '\x3538'),
	(168, 37, '2024-01-01 00:33:36+00', '\x32129ff46ce4d78098f2267a635fdb50bdf2d15d0047362fefc33853ccbc4d4f', '\x33a11aa1aa4ba85535939c22123605bf1537d9a4', 10224225, 72592414492, NULL, '\x7f38acfa53a2'),
	(169, 78, '2024-01-01 00:33:48+00', '\x6ab086667d36fec6232236525f8eb72aeae28c69e75578443234221c473bc6aa', '\x2e154b7e71e65644a7d16dfec7a34d9da4c1fab9', 1648399, 51796385702, NULL, '\xe2'),
	(170, 73, '2024-01-01 00:34:00+00', '\xff4dea101e835bfe87dd6ff40666d6a385ae808c06f73bab3971c78edfc6ea6f', '\xd20e16f8c7a97335c688ad476e9b45a0b2d7adee', 10519723, 95584964327, NULL, '\xa0d4b686084e1028271357'),
	(171, 48, '2024-01-01 00:34:12+00', '\xe18efd3417b9faf0c65ccbb1172140316c5a6adc2ec3a4a3d3017f58c48ed114', '\xa8eefd1b66ec800a39ede4e54d98b044cc71a257', 20693252, 42553702231, NULL, '\xb63f331dfcb6e2'),
	(172, 43, '2024-01-01 00:34:24+00', '\xa00003f88483a2c1a242bdc69abda2dd20ada0f2b296fe1b1ed90e926e292436', '\xadd31770baa304026179cdf255677a048f33139e', 2846217, 22603275356, NULL, '\xb229c2500ad611d8cd5ae85ad30d6380f63a4323d4aa341f5ab9d739'),
	(173, 29, '2024-01-01 00:34:36+00', '\x0212f37a228539f04e04fd8dfd675e0616f0beabe70fc4ed82ded52f6dc33af2', '\x49b4b78704de844b3fa930111c722e74b77a3e45', 25747612, 77374759794, NULL, '\x7eb8f2ee73365892fc0851a3c3548b155cb8a34a609d'),
	(174, 85, '2024-01-01 00:34:48+00', '\x0f38d59e9e39ccfd21977ec1957c126c30cb3916fffc8c0b6f82a8f4e6ed02b5', '\x769a849ce5dd07590718fbe28e3deab5980f0c62', 19367978, 84477099425, NULL, '\x9c211ebca5840f8ac0befd602a2e4ed06105d513'),
	(175, 67, '2024-01-01 00:35:00+00', '\xacd5ea54cb1dc41e4c62d5ad8d9e76f62457ffcf74e32b6040d6d8aff37bec37', '\x87dcbe5fb7517abb81f7ac56897134d2c3d2b76a', 9905125, 59127443285, NULL, '\x312b8af8918a5c3f37e9e48d8799b20e83a250aa30'),
	(176, 39, '2024-01-01 00:35:12+00', '\x9730c46d92fe19b5a91fbfd8c7c512ae78fd7dcb7a31c09d038239a55c6b64d3', '\xab4a7966a361fe20305de4f9c9573c8bb52e5da6', 3357694, 54192317372, NULL, '\xea3a4ac099ea918e0a65a2631ac9b5017e'),
	(177, 71, '2024-01-01 00:35:24+00', '\xcc153e5f0579336639fba20d211ce73f3ea09b037c385745db5742140d2b8014', '\xf85def1c4bba114d6c84c4771a0f2b639bb88016', 12494350, 30199121518, NULL, '\xc8f6cc13ea4c577ae7ef1e9d95ca5a7fb989'),
	(178, 18, '2024-01-01 00:35:36+00', '\xd8a3db62a82741f365cd8a21c900f69fd01eab642c6f427aee083ec50e6d92f6', '\xa7606a48c9e5b1846827d38aa30e6c7ac6fbaf66', 26113776, 65100409138, NULL, '\x7f2dbaad672440bb345ad90cd3bf7692a8189c7abe528842'),
	(179, 84, '2024-01-01 00:35:48+00', '\x49f2705ee7279863eafdf4cc0944ff55db8c1cea203e1b2fafda22a1357e094c', '\x8dde24aa25cdcedbaeac5f7af7d9fb4f747b26e3', 27777392, 42050633247, NULL, '\x'),
	(180, 38, '2024-01-01 00:36:00+00', '\x970f444b90d2e998129637c9788950e8b2e9f56defc88f88040d7a63866d4240', '\xe207cb062af8577b75850e470c5e0e4a0d28f54a', 27347151, 91684705904, NULL, '\x44c57ab983b94fb162'),
	(181, 62, '2024-01-01 00:36:12+00', '\x307f504a29c0466a7e67b3bb75b2716bc468a2b540ce8c078a5176642825a3ad', '\xe1a22b176b1729fd6a2d1189ae3b58f4bdb187c0', 26127691, 71210864153, NULL, '\xc78e8f81e371134531ecd3839e37af5b'),
	(182, 31, '2024-01-01 00:36:24+00', '\x895696eaa2f7ed32aea57906dbaa2f72d27058cfb59b8f397086a168fddd1ac3', '\x9d8fddc4cb15a11a000345a06da8a9de015e55d3', 26661742, 31102187022, NULL, '\x2d'),
	(183, 25, '2024-01-01 00:36:36+00', '\xf450a1e16e9d04860efc9e38e6bc6c0066b0f21b417a62042ce38628cda76c1d', '\x2db388f49500601c32b17457757337c428fdb7f2', 25779133, 52833982302, NULL, '\x06ad343f2f777abe7a74ac9e01b27af02c3ee619a6c2984e336e'),
	(184, 35, '2024-01-01 00:36:48+00', '\x75c473c4ea504dfdd06590684eaa0334e7ea59a8cd3533bd8a56dd19e70ab6cf', '\x8de698baa1b76c31a06e3d937573c23c9ca30e33', 7999528, 51906677302, NULL, '\x42d9e82043efae76d17e4cc009936674993c6ebcb1e9ff590b'),
	(185, 7, '2024-01-01 00:37:00+00', '\xfcb2d89375dcbf708ad5debc2437ed50ecbc067b768db1236e3ebd5103d747f1', '\x7182d2522fa487f554eecc0dde529a811e7a6ecc', 1188645, 59955683979, NULL, '\xdb82e53e6c418619fc42027f6e02185a16052df87fd36264'),
	(186, 67, '2024-01-01 00:37:12+00', '\xbce566a559a1b7523c11bf8d7b9b918c871e3bb9f6216847e935d2c06049f61c', '\x40795991f799b09af28d17df987f48e25c47d376', 20671058, 30171860995, NULL, '\x08d337533bb8b7bd4a690ab928'),
	(187, 46, '2024-01-01 00:37:24+00', '\xd7dcca9a44ce86eb8f78ed1fd9cb8a44c14b29e6ede20cf62e4a1f7b47ddcb55', '\x17652ec26040fae7fd7195b54fa68f059b2a8396', 19876995, 65697604194, NULL, '\x5cb18175b438b6ab276aaba24b965c12491ba8a40e5adfad'),
	(188, 37, '2024-01-01 00:37:36+00', '\x44e59bff881106c3113107aa0ea643b8bf20ae3e8ee7dca1c5f32578eea83d65', '\xaed2d44a1eb891abbe4f4c0e2123f3e432dd468e', 21555765, 38733874467, NULL, '\xc21b3914a83c0405678a35f08010f10992'),
	(189, 74, '2024-01-01 00:37:48+00', '\x6324a35024f5c4d98bc85ade5c75e1a5089d4426dbf723b6082e8f9efc2dbe8c', '\xdd00891b42778d63cc39d836a40960588de3256b', 551228, 72150583653, NULL, '\x9e793d07d488d61cf0b985'),
	(190, 20, '2024-01-01 00:38:00+00', '\xa06b85a16bff4d70e41cee4ff7c57ef6d27cf5d9614f418e4eb72fbbbc800d81', '\x3cbbb4ce8328dafc88c547d69cdc0c2865770f7b', 22945855, 70501286017, NULL, '\xbd995737'),
	(0, 40, '2024-01-01 00:00:00+00', '\x973d550278276fd6ab7d136e2f4d453008d80bcc677618d52014c12ab52f1c66', '\xb99c8348f061f480a718c864902828a6b013aad6', 14495526, 17426543550, NULL, '\x466f26f30303c0539e5325fb8e245f74b4f987f9'),
	(1, 41, '2024-01-01 00:00:12+00', '\x3200bcc155ec77c9ec22fbb96f082a6547b979bc0b7687525a9f92c89d636007', '\x0e4e3942c26252f627d7fe02146601046b047d7d', 5444554, 59309907337, NULL, '\xb77b49dedd0048407f22224d6ff6a90b960cf5b5'),
	(2, 21, '2024-01-01 00:00:24+00', '\xcda3d61413dceb2cf8d1e6f48ad326fbdf815e5a81c0d545fa08e4eef9c2013a', '\xe583b955e1d4c705ec4828112c4334733ae1767b', 27146538, 44882701171, NULL, '\xc4d9e47134225800fbdf3aa4b96546368b0cf88b59c1'),
	(3, 61, '2024-01-01 00:00:36+00', '\x44e5925cbace299e912e9faaa4a8328c07775ce79ac8b4d5780728d177c04e5f', '\xf6d64b660b58672d322033a9c1d34ee1905da940', 6643882, 56712097425, NULL, '\xd5cb4215b3fa'),
	(4, 13, '2024-01-01 00:00:48+00', '\x84f595790813d2354887b3f0d3351f26da8606e0413c66e0d8f6aec9400fbf0c', '\x18ab1a9a521e02715acdee67e5fb475b87b928ec', 13960447, 20377051629, NULL, '\x27'),
	(5, 7, '2024-01-01 00:01:00+00', '\xa961d730dd99cca61c75609a5fc4f277968792f784f7e80f64f5122f5b842553', '\x87b622d37e56e6d16a496f38d338a572ec0ba9d6', 3804638, 60519086965, NULL, '\x3b4795141b8a209d1ee5af50d71867b39f1d18ac30'),
	(6, 66, '2024-01-01 00:01:12+00', '\x0965deff4737e4c77c4e67cbb3f894da823ed5cea17388a2f99ea8a096de974a', '\x088b62320da1df20e1a591d27906934d90ec1049', 9338547, 7553065037, NULL, '\x0995'),
	(7, 48, '2024-01-01 00:01:24+00', '\x9bbc109e7db8c6d402dbafe2df9bf4b2e5606a37616cddeea823280e80ccfc3c', '\x677d9f182efb58f8a65775a4137745ed8d20448f', 2143748, 29260822030, NULL, '\xb57278c04ab782b4fbf5a54a9563dbe0e473128167aa161e51541798f5bdb540'),
	(8, 40, '2024-01-01 00:01:36+00', '\x724781134f4fe4fe7db236092e791320f7a981de71069c2c27d597c329de5e35', '\x14856413695ba0ae5531bbdb96291a876965268d', 636845, 75864756215, NULL, '\xf30f7244f237f35dd529cf8d9c4415'),
	(9, 25, '2024-01-01 00:01:48+00', '\xe96ec625af37f55cbe8dead952ab1305acf2ab72a8e0ced72f6f6096853be91c', '\x706459de4df194ee83c2770b341ae0d1dd140858', 6089297, 68268739681, NULL, '\xc8bad5c3984098bc8e576a7c30429936e9a4a390515820b22fdd5533b65a99e0'),
	(10, 55, '2024-01-01 00:02:00+00', '\xef5bb0b2e9eab44191f83266a00666f0974f5f4165518f80ea6811805e9783c3', '\x292a57b3463bbd9f7c7b4f13a0fd4607cd9543bd', 17869395, 46637132723, NULL, '\x9198'),
	(11, 29, '2024-01-01 00:02:12+00', '\x19de51ce4f451f711f429d95440c9c091d24db7b600dfbf529cac9ffd194c3a7', '\xfc774b7617599871ebdc6e98215e5ad6ad8cf3be', 20475080, 55992039145, NULL, '\x1c1bd74396ed9cb561e2563f38ab3139888b7cf4'),
	(12, 92, '2024-01-01 00:02:24+00', '\x3858e6df1614578a54587f10ef6554afd5839d8e084089a3ad3f74beaff7a33f', '\xd46222c151b067654d263ca1f5344564d0ce0929', 11045773, 22678837444, NULL, '\x662c94042b87dfbb08ae6bb9cf0f752a824645bf16b2ad'),
	(13, 75, '2024-01-01 00:02:36+00', '\x7a2aaefda14bb75de213434a2ab1316c740ddddf04e7ec7d415ba42c586b5ba9', '\x0fa3578765c6eb2576fe4f68d95238deb869ee77', 23772835, 7543157443, NULL, '\xf99f5a508bee7940'),
	(14, 19, '2024-01-01 00:02:48+00', '\x0b8e75616e24cd99fca94d900deeded361fd07fe9f531edeb960a7820b6f6603', '\x99a8e75fa3a7af675867c99ded5ba272f43eb475', 19012116, 92985948726, NULL, '\x'),
	(15, 46, '2024-01-01 00:03:00+00', '\x3b9dc4481753918257fbf633507fc980f24c1981b18763c1dc9d7328c5b6a455', '\x4229b6301da54e91287c73709d1839f6619a6673', 7372822, 86785543460, NULL, '\x50ec6fa6a1f9c910a4f903d11f006ae393df27f550a80cabf663afe6'),
	(16, 72, '2024-01-01 00:03:12+00', '\x6594ce680af8b3a9a3358acb7570e60a66ba4867d61a34cd692cdfd906fac47f', '\xb119ec4103f83cba34f51c63607ddbd8c6c611d4', 873751, 82854465140, NULL, '\xc02832156b6e548b92'),
	(17, 68, '2024-01-01 00:03:24+00', '\xa242c56aa41629a7fe971537839ab67a974cb45e71e613bb5d76ea700a322a2f', '\xfedb15788a4835b12d2fbc2e6e9d5975c266a33d', 12183947, 28591444747, NULL, '\x0d38eb935dcc9c81ae321e73593da3'),
	(18, 60, '2024-01-01 00:03:36+00', '\xbe6aeef374ae6ebcd54366f37d37ceb143739ecaf2940944bc6aa53251726446', '\x542b8db5ad176df6866d3ecbd203f41cef2d63c5', 29863256, 1671687043, NULL, '\xc4ea3a6f06f962e8fca41a3b19e94da1fd2a0a40f123f7'),
	(19, 73, '2024-01-01 00:03:48+00', '\x8ebeb9d1000451800b23f42203b6159bbf6f4c5186ced8b0ac987b302d8566f0', '\x07465f5dafe1a5e47699cfeb633c050674678b6d', 13251631, 92710157502, NULL, '\xef30b0ccd7b7b7c0532b8a34eefe987a1c0ee1'),
	(20, 75, '2024-01-01 00:04:00+00', '\xd721785e1e90193d5b8652e06764d90e6b0cd892b4817385f954a6274f939ebc', '\x83e9036ed0cdd2d1d1c1e20d62e96f76401752cb', 7507196, 67846317841, NULL, '\x80412fca206f6e150d335cc5d98baf7586'),
	(21, 92, '2024-01-01 00:04:12+00', '\xd4c758e82968f11bed59c3a708e50c9042c08f8402ad240a8f5781d2e9fbc173', '\xa50c3b2d8057bb95b6522245a334ec71d6e9ce75', 17326426, 11712858756, NULL, '\x62ab045f8a1217bc036fdefc8be0780bee8233669c6bc4648bbe'),
	(22, 13, '2024-01-01 00:04:24+00', '\x9c89a25bea11ee8acc22635dbeb6182df3429a2e26252a70e17ea242316287e5', '\xc4db294854fbce867b8ee539dd153d9be743c893', 18310412, 4464380076, NULL, '\x3303b721663c13da36eb8788caee42fc4343'),
	(23, 43, '2024-01-01 00:04:36+00', '\x8830c8c6104c8cf0cc347bc02ed1209efa778798090227058e612bba61cc47e3', '\xb618e84e5dfe03c873b5baaeffb0ae42d7be51e8', 25074543, 96915937581, NULL, '\xcff7f6240b3f71f810180988ea5e63e34a4753147ded931c'),
	(24, 81, '2024-01-01 00:04:48+00', '\xce72cd89972d158790ef99738ab61eabf5537359dbef4ff0105d7c499ba330bc', '\x384212e5c91587525bc73c9b14a5e5d850a85c34', 28232998, 47237805975, NULL, '\x5d4dff613b4743ee9155ca9eb5'),
	(25, 91, '2024-01-01 00:05:00+00', '\xd7e7297e62f4d4594bad3f50a02ed87edd404c24c9464298fcc8cb86afcadacd', '\x6c58d790451b8954af2c18605349d0887f56f1c9', 23990228, 36096189373, NULL, '\xebde48d96d5211f66a815dcc06d60c80de1b6ac2'),
	(26, 18, '2024-01-01 00:05:12+00', '\xb32355eb8d7a5e2f1b8c0805e0cb30062be25d1db49fe388d22da922dc5ccb81', '\x2d2d9f1cddb5af239766bd1f358f97d4b66abd75', 992231, 68593786850, NULL, '\x2fb860bfe4924f91323f0f2e0d2331b834'),
	(27, 41, '2024-01-01 00:05:24+00', '\xaf30eda020b346c9840d36b1a024d92c290388730d5b4c0463bfc19f1082129c', '\x14833a45e919b6ff32bd7b47dcd32ea2c7eb681b', 14947159, 15460490874, NULL, '\x9c38'),
	(28, 92, '2024-01-01 00:05:36+00', '\x45f191ddd537d505b927123e32095b8b580e15360fa456c78fca38c277899644', '\xb5161e54d747a6a1a37867c8c7ad483887e43716', 16147779, 84916741744, NULL, '\xfb6eb389e7'),
	(29, 28, '2024-01-01 00:05:48+00', '\x4e72b5bfcf444355c53715e217dce1a53b5d04fe5b8d509ef0e0f32c43a8dec2', '\x045bb5149167342d7ac8e2719be68c8f7836f325', 29360182, 71124163914, NULL, '\xec0cf0550c2270018a62b628c0c084176f2ee2b9865d92c7d02e69aaa1d4'),
	(30, 15, '2024-01-01 00:06:00+00', '\x411a72e5df04095499556a04060d5e5017639177fca2f1733dc11def2be90bc9', '\x4d853c597a4e5d2cbfc8ce121d30045405ab12d5', 15956030, 53182416019, NULL, '\x1aa324dba3632a7776294becbdcdcc84'),
	(31, 7, '2024-01-01 00:06:12+00', '\xc8a2d72f0f04ad80384af56425227ae111b9fcc0e87a3d8cd1b2cce40ffae681', '\x359f0a9fb31873331cfa80287b6ed753a31100a5', 4621184, 55287124423, NULL, '\x6556e4'),
	(32, 91, '2024-01-01 00:06:24+00', '\x4e634e8c463e5d32a69c3d1606b79739f1d4d5fc207184c7539b3d4fad4f392c', '\xa9ccd530e71d1d49b63d5c2eaa06676db15482b6', 24474646, 97661979734, NULL, '\x92d274d7a86a9c8000caf61d'),
	(33, 66, '2024-01-01 00:06:36+00', '\x99214655817ef50484639501d38c73f0184d8e5e6d3f43e389a2c482f5dc93cc', '\x328670a70a68247c07b7314b48ce810fdff776e6', 11831641, 82745622703, NULL, '\x37b3c6c4802c0232bdc0aedef25e52466c48be2ec727eac4be5f'),
	(34, 71, '2024-01-01 00:06:48+00', '\x4d1c97c8eb2035e05b3ba3d7a126a98080a64bde902a6ba4ec4942ff0f8bc1b5', '\x17af56375f3b47fd8941c6b05c4ab106222523c0', 25348208, 66831161979, NULL, '\xb856dec6929cf02b3bca8a80d2e85ea9f45ae476a9dc51'),
	(35, 70, '2024-01-01 00:07:00+00', '\xb6657137df1bbb024f48a7d0aa00f6903a2c1d31a4a36b9352492e9a64174e19', '\x451cfb0d4e6414573441f4ed17aa795be4aa3340', 27561359, 16587141642, NULL, '\xac20ac1928b7dab038a3f62cd8bd3e439951f546b4d046e7d879ad3cd03e'),
	(36, 50, '2024-01-01 00:07:12+00', '\xe8f9369a576b5f52837b00715f88e8c45f47d387a29fabc74961b82baa27712b', '\x65037b9ba93d26479d7e4719e9acd4f239555885', 24511950, 36069672644, NULL, '\x02a545a33d0a40e16a9bdcfeb8'),
	(37, 49, '2024-01-01 00:07:24+00', '\x5f11b77029c094403c9d9096cfd99c6afc733b3339cef92e602d0e6b91370857', '\x6fa753f19c4350aa6ce6e3e00e66b587f4130f45', 15163477, 32371973398, NULL, '\x3fb7d15c459a18d6035a01d0bbe9171fc1938ef05fbfee31'),
	(38, 42, '2024-01-01 00:07:36+00', '\xd6e4cd68e6e4a4ad9cdd4afd1cefb89f7be32e48de90a6a92b438e52201c9b53', '\xf47e3e0808a73c2cacd2351e4b20a6663bfb6601', 16429029, 37764405877, NULL, '\xe0aec5aa62470cca188aacd14fd7dba2735080ccbc'),
	(39, 5, '2024-01-01 00:07:48+00', '\xe5a9a33c404528c36f7e5d2595f6190072c99bda477505552cfc9faa3fbc539e', '\x8232e4f59ab7be703bd5feffaa38badf4d741ded', 15745239, 34744499196, NULL, '\x51ea'),
	(191, 71, '2024-01-01 00:38:12+00', '\x1318b68a5ae6e0b89183e1fa084f3c1ffd4369046587839bb45050e7d349f4af', '\x4284f6f4b646290d2c2dba8b3710826dddd41e11', 2482689, 54526908033, NULL, '\xacab9f6eda1a1bfb0089bf'),
	(192, 50, '2024-01-01 00:38:24+00', '\xeb89286a90a7f89c817398b7238fcf6eddd7c60f0d60690b73b023c6b117ba39', '\xad4a8fbd8d02f057e8d4daa5b35468c2f7b2164e', 28157986, 97346247001, NULL, '\xd46267b09a694f75f26d1f1bf3be0e166e250e7920b953fdb645f213d5'),
	(193, 8, '2024-01-01 00:38:36+00', '\x9387ad78fe7a2ff5965ee7ba2186bdc1fcb1198c2233fe11da12215493c089da', '\x3c06a8e67fa071b87953216fcc948e0efe0b5b00', 15524082, 70530403871, NULL, '\x645ffb585b9c6e55d4df5fcefea5dd36bf163e1f0ed2eeae'),
	(194, 69, '2024-01-01 00:38:48+00', '\x621415fb276410cbcbf95f1cebdff596afbed859e2d0d3c8e1b30807c7b8f9d6', '\xf432760663241774e84da3215e6c62818b0ad225', 695171, 96972600537, NULL, '\xd1b26301b917'),
	(195, 46, '2024-01-01 00:39:00+00', '\xbdf8fc8c3fb0ae614fddeabbcb571de943ffb7175bfc27e48576611160518790', '\x9e517e7b6a60f3a5b67415caf96bfd86724423d7', 12846338, 93700240472, NULL, '\x1090e3261c2d79f73b6225c764294160da46a5b765b8a9bbf1e6a8d1a310cd'),
	(196, 27, '2024-01-01 00:39:12+00', '\xbc160b8d4d45a941359488d9b1ac57f7b613e51213d808dca68cf44422877695', '\xbf9389a474d42f8c3d1539313992127cf0435bfe', 1524867, 32914761701, NULL, '\x18771007b47e021c9b1fc6923f9d4ce4350d925cd05f'),
	(197, 17, '2024-01-01 00:39:24+00', '\x75e098477681b847126e6ab02d9ac707e6d292640111ffda37d679e85fb76681', '\x0de412889ec1f0dd9c35ca555e44d5b26283bf76', 27663932, 9989901330, NULL, '\x702493e30e'),
	(198, 28, '2024-01-01 00:39:36+00', '\x30079ce1ad3fda191ca1e2d5424573b55f49e665e9f96dfc299d40c1eba983c7', '\x97734616b729d865a91ba36ceb7ef1435125c6ef', 22575032, 46087942630, NULL, '\xde07f4900262e93aef6b7a7b24032335573fc53a2246'),
	(199, 15, '2024-01-01 00:39:48+00', '\x8c2b1b9c73b64d802baaa0ef960bceed20fc28b944bedd10368295e2b65595f2', '\x5754a761d0771bcca7f006d8cdb549712e6c8f69', 29681530, 90934777080, NULL, '\x8c'),
	(200, 41, '2024-01-01 00:40:00+00', '\xd93d06bfe20cc65a7f2f5a9ee38509d7cdcac143d4e68c441127f35e6a8e296c', '\xafe2674e1bb4836d4eb8ef7e82048f93919b951a', 3318508, 17257504744, NULL, '\x0a2dc92d5305b8f4a3bf66402c2a87bc4681895e9e7e6354e1ff3b18778747e5'),
	(201, 7, '2024-01-01 00:40:12+00', '\x3561b1efdcbccdf4b86d3094a0f9acb4e348681615aefdb979ac3cfc87a126fd', '\x59dbe45e4152fa1cbfe54d67c5356aad8566e5dd', 18957590, 20036646856, NULL, '\x59dbf24eb5213e21f17265008b39f81eaa679a9852bd'),
	(202, 68, '2024-01-01 00:40:24+00', '\xc944c1a76658a97781ec5d85390d534dbb64084eaa4f9c06a507ad7d04047d1c', '\x87f1cc4cdd119ea9c88cdcda0caaa8282f9d67e1', 14211247, 2488982115, NULL, '\xc0f851e689d8cae69a2eecd8acfe5798'),
	(203, 38, '2024-01-01 00:40:36+00', '\x8b6e8e4eb7529f241e9e06f108c412f4b45c5b75a9d64c372e284d64cec63eb5', '\x85c1b304d8eed7b7d911d991e6ec2f478caf9c5d', 18461369, 45594001158, NULL, '\x586be0940e3d597f9c600aaf8d950cc5d13fcb485ecebd'),
	(204, 40, '2024-01-01 00:40:48+00', '\x40031b79fac31a16ff514f913edf8dbdf08d3a0cb54dc2cda54a8d100886fa37', '\x7734ce2811608d45419d55f1f973a73dfd1ffed7', 4609771, 85415883742, NULL, '\x2afe905b640a8a3d232ad06226'),
	(205, 42, '2024-01-01 00:41:00+00', '\x6e6ffb7a62e3523056f7267aa4ab0dac4de29deebbab0a2a3ef4d668c0de0a58', '\xb33be767e936b4809b53db8331deca4de82382c7', 16693063, 72146029991, NULL, '\xc6ad047b184f3786c3c18d'),
	(206, 85, '2024-01-01 00:41:12+00', '\x3e16fa429adac3060387e313197a610715a349c3013f066aa9b15616dfaf71fb', '\xeb5eb459628b260c886ea1be11798d79951ff28f', 10410998, 53906800712, NULL, '\x1633c139623d67a9ea61'),
	(207, 57, '2024-01-01 00:41:24+00', '\x53dbcdc17bca12187444dd092df746f06999bf0bedf115572855ecd497407d22', '\x0a71361b5dfe2440896d2a499497f8446f0f82cd', 28125789, 63897751498, NULL, '\x8f9f250443104b221b6537f2'),
	(40, 65, '2024-01-01 00:08:00+00', '\x11a43017ed170077777c6cd003a537b828e00029ac77b16fd8537f6fef890471', '\x861c2c43004be55bf9e095b0e8f6ab1ca1b5904d', 21690526, 73302883508, NULL, '\xb79e199494dbc59001ad0e9bba8ea71c595153c31ece2a2b72571864'),
	(41, 78, '2024-01-01 00:08:12+00', '\xe575d8cbf5070f0b9f60690c6fbf03fd8f23f2f6e5d9f445cb76208b43cd057c', '\xd60a7a2f01d6cc771af9c1601fe7a790dfee221a', 2835000, 5662754316, NULL, '\x449650'),
	(42, 8, '2024-01-01 00:08:24+00', '\x1463cea90dc6e97d01f228bd69d8a5a307eb887941eab5662cad9c65a1f77a50', '\x5a471e1e506185f968e6ba55a6b41c9207221fd2', 23777812, 3492584018, NULL, '\x58'),
	(43, 30, '2024-01-01 00:08:36+00', '\x445f5fefd6fcb51de4c0d9f015c09ba17ea7531701d73b883f090fe21d209488', '\x157ce098966d7f7a62351a69b9bc67127dc0ff0d', 18948980, 35394425768, NULL, '\xbea952ef99e65cdfb6a78daba22a7e51adb7'),
	(44, 19, '2024-01-01 00:08:48+00', '\x91e4fccd559c7cfd6d2c0f96520fbb483753809c64969308fa15d1ed05d11c00', '\x62056865a5c009289000df4f9e3b89511a923f0d', 28741119, 33523459760, NULL, '\x141b8ee0a7604153da223f6fe778'),
	(45, 49, '2024-01-01 00:09:00+00', '\x36162153cd6084909375ce856c8aaffff0cae8d67e6132a07be80bddf329e0dc', '\xd14e4c1aec79fdfcccac4fa063ff9c3f5dc19890', 5457172, 81351367414, NULL, '\xd8215c31185a258fb03c19ac55451f2e6e0ca009bb9424e030b30a'),
	(46, 30, '2024-01-01 00:09:12+00', '\xcc62c94828f97e295c5d3f96d825974a5ee7934bea22a251181fc21aac0fca20', '\x9ea5c4d22c12aef1e00a0e0857ad20017e4bd709', 6551022, 74388467164, NULL, '\x1087c4bb17b8dfa47a23b4d22892'),
	(47, 18, '2024-01-01 00:09:24+00', '\x09db973b5a6dbac4af6fa65d5501e56253babf908c91950c4379e8703a502e64', '\x9a17f850e74a80ce9d2a20fd4fcadcbf31e7ef1c', 557962, 77351536563, NULL, '\x13ec5b19988a1f374982c23b422dc9987cd3ee82e41788f318dd1a11'),
	(48, 40, '2024-01-01 00:09:36+00', '\xf35e883e393a2462398ed7158eed572c8a0d3bc6fdda31d3af48f5cd0c98a551', '\xee527bf8eda40f76ede8205630372c78a37e0058', 2239479, 92023628203, NULL, '\xd7d26b9a69a30e628bfce975aaadbb65943dff47526c7cd4f4e311805a'),
	(49, 38, '2024-01-01 00:09:48+00', '\x91281a69c26ea75abfdb86daee8015e29d73a0b869541c3eea85a2ef60cccbe9', '\xf8ca84cc87e839ff79ea73e9c46b49dfa5be49aa', 3708445, 87419056485, NULL, '\xccac29c8d4ed34881b23');


--
-- Name: replaced_id_seq; Type: SEQUENCE SET; Schema: ampipe; Owner: -
--

SELECT pg_catalog.setval('ampipe.replaced_id_seq', 52, true);


--
-- Name: tables_id_seq; Type: SEQUENCE SET; Schema: ampipe; Owner: -
--

SELECT pg_catalog.setval('ampipe.tables_id_seq', 2, true);


--
-- Name: coverage coverage_once; Type: CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.coverage
    ADD CONSTRAINT coverage_once EXCLUDE USING gist (int4range(table_id, table_id, '[]'::text) WITH &&, blocks WITH &&, parts WITH &&);


--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (step);


--
-- Name: replaced replaced_pkey; Type: CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.replaced
    ADD CONSTRAINT replaced_pkey PRIMARY KEY (id);


--
-- Name: tables tables_pkey; Type: CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.tables
    ADD CONSTRAINT tables_pkey PRIMARY KEY (id);


--
-- Name: tables tables_schema_name_table_name_key; Type: CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.tables
    ADD CONSTRAINT tables_schema_name_table_name_key UNIQUE (schema_name, table_name);


--
-- Name: latest latest_pkey; Type: CONSTRAINT; Schema: earlier; Owner: -
--

ALTER TABLE ONLY earlier.latest
    ADD CONSTRAINT latest_pkey PRIMARY KEY (slot);


--
-- Name: replaced_by; Type: INDEX; Schema: ampipe; Owner: -
--

CREATE INDEX replaced_by ON ampipe.replaced USING btree (table_id, replaced_by);


--
-- Name: latest_block_num_idx; Type: INDEX; Schema: earlier; Owner: -
--

CREATE INDEX latest_block_num_idx ON earlier.latest USING brin (block_num int8_minmax_multi_ops) WITH (autosummarize='on');


--
-- Name: rows_block_num_idx; Type: INDEX; Schema: earlier; Owner: -
--

CREATE INDEX rows_block_num_idx ON earlier.rows USING brin (block_num int8_minmax_multi_ops) WITH (autosummarize='on');


--
-- Name: coverage coverage_table_id_fkey; Type: FK CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.coverage
    ADD CONSTRAINT coverage_table_id_fkey FOREIGN KEY (table_id) REFERENCES ampipe.tables(id) ON DELETE CASCADE;


--
-- Name: replaced replaced_table_id_fkey; Type: FK CONSTRAINT; Schema: ampipe; Owner: -
--

ALTER TABLE ONLY ampipe.replaced
    ADD CONSTRAINT replaced_table_id_fkey FOREIGN KEY (table_id) REFERENCES ampipe.tables(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--


