-- SPDX-License-Identifier: GPL-2.0-only
--
-- Wireshark and tshark: the messages of vfio-user, in recordings of "vfiouserctl attach --record"
-- (link type USER0; a pseudo-header of 4 bytes, see helper/pcapng.h, then a message).
--
--   tshark -X lua_script:vfio-user.lua -r disk.pcapng
--   wireshark -X lua_script:vfio-user.lua disk.pcapng
--
-- Fields to filter by: vfio_user.cmd, vfio_user.region, vfio_user.offset, vfio_user.errno...

local proto = Proto("vfio_user", "vfio-user")

local commands = {
	[1] = "VERSION", [2] = "DMA_MAP", [3] = "DMA_UNMAP", [4] = "DEVICE_GET_INFO",
	[5] = "DEVICE_GET_REGION_INFO", [6] = "DEVICE_GET_REGION_IO_FDS",
	[7] = "DEVICE_GET_IRQ_INFO", [8] = "DEVICE_SET_IRQS", [9] = "REGION_READ",
	[10] = "REGION_WRITE", [11] = "DMA_READ", [12] = "DMA_WRITE", [13] = "DEVICE_RESET",
	[15] = "REGION_WRITE_MULTI",
}
local regions = {
	[0] = "BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "config", "VGA",
}
local irqs = { [0] = "INTx", "MSI", "MSI-X", "ERR", "REQ" }
local senders = { [0] = "client", [1] = "server" }
local sockets = { [0] = "main", [1] = "twin" }
local types = { [0] = "command", [1] = "reply" }

local f = {
	sender = ProtoField.uint8("vfio_user.sender", "Sender", base.DEC, senders),
	socket = ProtoField.uint8("vfio_user.socket", "Socket", base.DEC, sockets),
	fds = ProtoField.uint8("vfio_user.fds", "Descriptors", base.DEC),
	id = ProtoField.uint16("vfio_user.id", "Message ID", base.DEC),
	cmd = ProtoField.uint16("vfio_user.cmd", "Command", base.DEC, commands),
	size = ProtoField.uint32("vfio_user.size", "Size", base.DEC),
	flags = ProtoField.uint32("vfio_user.flags", "Flags", base.HEX),
	type = ProtoField.uint32("vfio_user.type", "Type", base.DEC, types, 0xf),
	no_reply = ProtoField.bool("vfio_user.no_reply", "No reply", 32, nil, 0x10),
	error = ProtoField.bool("vfio_user.error", "Error", 32, nil, 0x20),
	errno = ProtoField.uint32("vfio_user.errno", "Error number", base.DEC),
	major = ProtoField.uint16("vfio_user.major", "Major version", base.DEC),
	minor = ProtoField.uint16("vfio_user.minor", "Minor version", base.DEC),
	json = ProtoField.stringz("vfio_user.capabilities", "Capabilities"),
	argsz = ProtoField.uint32("vfio_user.argsz", "Argument size", base.DEC),
	arg_flags = ProtoField.uint32("vfio_user.arg_flags", "Argument flags", base.HEX),
	offset = ProtoField.uint64("vfio_user.offset", "Offset", base.HEX),
	address = ProtoField.uint64("vfio_user.address", "Address", base.HEX),
	length = ProtoField.uint64("vfio_user.length", "Length", base.DEC),
	region = ProtoField.uint32("vfio_user.region", "Region", base.DEC, regions),
	count = ProtoField.uint32("vfio_user.count", "Count", base.DEC),
	irq = ProtoField.uint32("vfio_user.irq", "Interrupt type", base.DEC, irqs),
	start = ProtoField.uint32("vfio_user.start", "First vector", base.DEC),
	num_regions = ProtoField.uint32("vfio_user.num_regions", "Regions", base.DEC),
	num_irqs = ProtoField.uint32("vfio_user.num_irqs", "Interrupt types", base.DEC),
	cap_offset = ProtoField.uint32("vfio_user.cap_offset", "Capability offset", base.DEC),
	writes = ProtoField.uint64("vfio_user.writes", "Writes", base.DEC),
	data = ProtoField.bytes("vfio_user.data", "Data"),
}
proto.fields = f

local short = ProtoExpert.new("vfio_user.short", "The message is shorter than its header says",
			      expert.group.MALFORMED, expert.severity.ERROR)
proto.experts = { short }

local function name(names, index)
	return names[index] or tostring(index)
end

-- A cursor over the payload: each step adds a field, as long as there are bytes.
local function reader(tree, body)
	local at = 0
	local r = {}

	function r.left()
		return body:len() - at
	end
	function r.take(field, len)
		if r.left() < len then
			return nil
		end
		local part = body(at, len)

		tree:add_le(field, part)
		at = at + len
		return len == 8 and part:le_uint64() or part:le_uint()
	end
	function r.skip(len)
		at = at + math.min(len, r.left())
	end
	function r.rest(field)
		if r.left() > 0 then
			tree:add(field, body(at))
		end
		at = body:len()
	end
	return r
end

local function hex(value)
	return value and "0x" .. (type(value) == "number" and string.format("%x", value) or
				  value:tohex():gsub("^0+(%x)", "%1")) or "?"
end

-- What is known of each command: adds its fields, returns words for the info column.
local body = {}

body[1] = function(r)
	local major, minor = r.take(f.major, 2), r.take(f.minor, 2)

	r.rest(f.json)
	return major and minor and major .. "." .. minor
end

body[2] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	if r.left() < 24 then
		return nil
	end
	r.take(f.offset, 8)
	local address, length = r.take(f.address, 8), r.take(f.length, 8)

	return hex(address) .. "+" .. hex(length)
end

body[3] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	local address, length = r.take(f.address, 8), r.take(f.length, 8)

	return address and hex(address) .. "+" .. hex(length)
end

body[4] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	r.take(f.num_regions, 4)
	r.take(f.num_irqs, 4)
end

body[5] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	local region = r.take(f.region, 4)

	r.take(f.cap_offset, 4)
	local length = r.take(f.length, 8)

	r.take(f.offset, 8)
	r.rest(f.data)
	return region and name(regions, region) .. (length and ", " .. tostring(length) .. " bytes" or "")
end

body[6] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	local region, count = r.take(f.region, 4), r.take(f.count, 4)

	r.rest(f.data)
	return region and name(regions, region) .. ", " .. tostring(count)
end

body[7] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	local irq, count = r.take(f.irq, 4), r.take(f.count, 4)

	return irq and name(irqs, irq) .. ", " .. tostring(count)
end

body[8] = function(r)
	r.take(f.argsz, 4)
	r.take(f.arg_flags, 4)
	local irq, start, count = r.take(f.irq, 4), r.take(f.start, 4), r.take(f.count, 4)

	r.rest(f.data)
	return count and name(irqs, irq) .. " " .. start .. "+" .. count
end

local function access(r)
	local offset, region, count = r.take(f.offset, 8), r.take(f.region, 4), r.take(f.count, 4)
	local text

	if not count then
		return nil
	end
	text = name(regions, region) .. " at " .. hex(offset) .. ", " .. count .. " bytes"
	if r.left() > 0 and r.left() <= 8 then
		text = text .. ": " .. r.value()
	end
	r.rest(f.data)
	return text
end

body[9] = access
body[10] = access

local function dma(r)
	local address, length = r.take(f.address, 8), r.take(f.length, 8)

	r.rest(f.data)
	return length and hex(address) .. ", " .. tostring(length) .. " bytes"
end

body[11] = dma
body[12] = dma

body[15] = function(r)
	local n = r.take(f.writes, 8)

	while r.left() >= 24 do
		r.take(f.offset, 8)
		r.take(f.region, 4)
		r.take(f.count, 4)
		r.take(f.data, 8)
	end
	return n and tostring(n) .. " writes"
end

function proto.dissector(buf, pinfo, root)
	if buf:len() < 20 then
		return 0
	end
	local tree = root:add(proto, buf())
	local head = tree:add(proto, buf(4, 16), "Header")
	local cmd, size = buf(6, 2):le_uint(), buf(8, 4):le_uint()
	local flags = buf(12, 4):le_uint()
	local reply = flags % 16 == 1
	local failed = math.floor(flags / 32) % 2 == 1
	local words

	tree:add(f.sender, buf(1, 1))
	tree:add(f.socket, buf(2, 1))
	tree:add(f.fds, buf(3, 1))
	head:add_le(f.id, buf(4, 2))
	head:add_le(f.cmd, buf(6, 2))
	head:add_le(f.size, buf(8, 4))
	head:add_le(f.flags, buf(12, 4))
	head:add_le(f.type, buf(12, 4))
	head:add_le(f.no_reply, buf(12, 4))
	head:add_le(f.error, buf(12, 4))
	head:add_le(f.errno, buf(16, 4))
	if size ~= buf:len() - 4 then
		tree:add_proto_expert_info(short)
	end

	if not failed and buf:len() > 20 then
		local payload = buf(20)
		local part = tree:add(proto, payload, "Payload")
		local r = reader(part, payload)

		function r.value()
			local from = payload:len() - r.left()
			local bytes = {}

			for i = payload:len() - 1, from, -1 do
				bytes[#bytes + 1] = string.format("%02x", payload(i, 1):uint())
			end
			return "0x" .. table.concat(bytes)
		end
		words = body[cmd] and body[cmd](r)
		r.rest(f.data)
	end

	pinfo.cols.protocol = "vfio-user"
	pinfo.cols.src = name(senders, buf(1, 1):uint())
	pinfo.cols.dst = name(senders, 1 - math.min(buf(1, 1):uint(), 1))
	pinfo.cols.info = name(commands, cmd) .. (reply and " reply" or "") ..
		(failed and " error " .. buf(16, 4):le_uint() or "") ..
		(words and " " .. words or "") ..
		(buf(3, 1):uint() > 0 and ", " .. buf(3, 1):uint() .. " descriptors" or "")
	return buf:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, proto)
